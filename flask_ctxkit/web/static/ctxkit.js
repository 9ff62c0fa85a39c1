// Live updates, keys and copying. Every page reads the same without it.
(() => {
  "use strict";
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // ------------------------------------------------------------------ ages
  const ago = (seconds) => {
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  };
  const stamp = (from) => {
    for (const node of all("[data-age]", from)) {
      node.born = performance.now() - 1000 * parseFloat(node.dataset.age);
    }
  };
  const tick = () => {
    for (const node of all("[data-age]")) {
      const text = ago((performance.now() - node.born) / 1000);
      if (node.textContent !== text) node.textContent = text;
    }
  };
  stamp(document);

  // ------------------------------------------------------------------ live
  const EVERY = 2000;
  const SLOWEST = 30000;
  let paused = false;
  let wait = EVERY;
  let timer = 0;
  const says = (text) => {
    const node = $("#live-state");
    if (node) node.textContent = text;
  };
  const swap = (fresh) => {
    for (const region of all("[data-live]")) {
      const other = fresh.getElementById(region.id);
      if (!other || other.innerHTML === region.innerHTML) continue;
      const toggled = new Map(all("details[id]", region).map((d) => [d.id, d.open]));
      const focused = region.contains(document.activeElement) ? document.activeElement : null;
      const href = focused && focused.getAttribute("href");
      region.replaceChildren(...other.childNodes);
      for (const details of all("details[id]", region)) {
        if (toggled.has(details.id)) details.open = toggled.get(details.id);
      }
      if (href) all("a", region).find((a) => a.getAttribute("href") === href)?.focus();
      stamp(region);
    }
    document.body.dataset.since = fresh.body.dataset.since || "";
  };
  const busy = () => {
    const at = document.activeElement;
    return at && at.closest("[data-live]") && at.matches("input, select, textarea");
  };
  // What is swapped between press and release takes the click with it.
  let pressed = false;
  document.addEventListener("pointerdown", () => { pressed = true; });
  for (const released of ["pointerup", "pointercancel"]) {
    document.addEventListener(released, () => setTimeout(() => { pressed = false; }));
  }
  document.addEventListener("pointermove", (event) => { if (!event.buttons) pressed = false; });
  const poll = async () => {
    if (paused || document.hidden || busy()) return schedule();
    const url = new URL(location.href);
    url.hash = "";
    url.searchParams.set("since", document.body.dataset.since);
    try {
      const response = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (response.status === 200) {
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        if (!pressed) swap(fresh); // else the next answer has it too
      } else if (response.status !== 204) {
        throw new Error(String(response.status));
      }
      wait = EVERY;
      says("on");
    } catch {
      wait = Math.min(SLOWEST, wait * 2);
      says("no answer, trying again");
    }
    schedule();
  };
  const schedule = () => {
    clearTimeout(timer);
    if (!document.body.dataset.since) return; // what is shown is finished
    timer = setTimeout(poll, wait);
  };
  const pause = (state) => {
    paused = state;
    const button = $("#pause");
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Resume" : "Pause";
    says(paused ? "paused" : "on");
    if (!paused) poll();
  };
  if (document.body.dataset.since && $("[data-live]")) {
    schedule();
    $("#pause").addEventListener("click", () => pause(!paused));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) poll();
    });
    setInterval(() => { if (!paused && !document.hidden) tick(); }, 1000);
  }

  // ------------------------------------------------------------------ copying
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-text]");
    if (!button) return;
    event.preventDefault();
    const text = button.dataset.copyText ?? $(`#${button.dataset.copy}`).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it by hand";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // ------------------------------------------------------------------ an event in the address
  const reveal = () => {
    const target = /^#e\d+$/.test(location.hash) && $(location.hash);
    if (!target) return;
    for (let node = target; node; node = node.parentElement.closest("details")) node.open = true;
    target.scrollIntoView({ block: "center" });
    $("summary", target).focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  reveal();

  // ------------------------------------------------------------------ keys
  const keys = $("#keys");
  $("#help")?.addEventListener("click", () => keys.showModal());
  const rows = () => all("[data-row]").filter((row) => row.checkVisibility?.() ?? true);
  const handle = (row) => (row.matches("details") ? $("summary", row) : $("a", row) || row);
  const move = (by) => {
    const list = rows();
    if (!list.length) return;
    const at = list.findIndex((row) => row.contains(document.activeElement));
    const next = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))];
    const target = handle(next);
    if (!target.matches("a, summary, button")) target.tabIndex = -1;
    target.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const follow = (rel) => {
    const link = $(`link[rel=${rel}]`);
    if (link) location.assign(link.href);
  };
  const actions = {
    "/": () => $("#search").focus(),
    "?": () => keys.showModal(),
    j: () => move(1),
    k: () => move(-1),
    "[": () => follow("prev"),
    "]": () => follow("next"),
    p: () => $("#pause")?.click(),
    Escape: () => follow("up"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
})();
