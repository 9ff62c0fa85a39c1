"""The stops of the tour, in the order in which a request meets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A link to *path*; with ``post`` a button."""

    label: str
    path: str
    post: bool = False


@dataclass(frozen=True)
class Stop:
    """``do`` leads into the tea house, ``see`` to the kit's pages, ``say`` to a terminal."""

    title: str
    text: str
    do: tuple[Link, ...] = ()
    see: tuple[Link, ...] = ()
    say: str = ""


STOPS = (
    Stop(
        "The start of an app",
        "Before any request there are tables: configuration, routes, view functions, and for each "
        "hook a list per blueprint. Extensions wrote into them, so did this app.",
        see=(
            Link("Config, routes, hook tables", "/app"),
            Link("What would run for GET /teas", "/hooks?method=GET&path=/teas"),
        ),
        say="flask --app example ctx hooks GET /teas",
    ),
    Stop(
        "From the server to a request",
        "The server calls the app with environ and start_response. What of environ became the "
        "request stands at the foot of every trace.",
        do=(Link("Look at the teas", "/teas"),),
        see=(Link("The latest request", "/requests/latest"),),
        say="flask ctx show latest",
    ),
    Stop(
        "One request, step by step",
        "Push the contexts, open the session, match the URL, signal, hooks, view, template, hooks "
        "again, save the session, tear down, pop: each with its time and what it changed.",
        do=(
            Link("Put a tea into the cart", "/cart/3", post=True),
            Link("Ask the suppliers (async)", "/suppliers"),
            Link("Read the orders (streamed)", "/orders.txt"),
            Link("Count by hand (slow)", "/report"),
            Link("Refunds (fails)", "/refunds"),
        ),
        see=(Link("All requests", "/requests"), Link("The failed ones", "/requests?status=5xx")),
        say="flask ctx requests",
    ),
    Stop(
        "The session: a cookie, there and back",
        "The cookie is read, its signature checked, its content decoded; at the end of a request "
        "that changed it, it is written again. The cart and the guest's name live in it.",
        do=(
            Link("Put a tea into the cart", "/cart/5", post=True),
            Link("Say who you are", "/login"),
        ),
        see=(Link("The session", "/session"), Link("The latest request", "/requests/latest")),
        say="flask ctx show latest --g",
    ),
    Stop(
        "Signals along the way",
        "Each signal stands on the trace with its receivers: here request_started, and "
        "order_placed, which is this app's own.",
        do=(Link("Order what is in the cart", "/orders", post=True),),
        see=(Link("The latest request", "/requests/latest"),),
        say="flask ctx tail",
    ),
    Stop(
        "Before the first request",
        "The stove is lit once per process, by whichever request comes first, also when many come "
        "at once.",
        see=(Link("The request that lit it", "/requests?q=g:stove"),),
        say="flask ctx requests g:stove",
    ),
    Stop(
        "Two stacks per thread",
        "Contexts lie on a stack, the current one on top. Each thread, greenlet and task has its "
        "own. Here one thread piles up two apps and a request.",
        do=(Link("Pile contexts up and look", "/tour/stacks", post=True),),
        see=(Link("Context stacks", "/stacks"),),
        say="flask ctx stacks",
    ),
    Stop(
        "Who is where, right now",
        "Three requests fall asleep: in a hook, in a view and in a streamed body. Each is named "
        "with its thread, its age and the line where it sleeps.",
        do=(Link("Send three to sleep and look", "/tour/nap", post=True),),
        see=(Link("Live contexts", "/live"),),
        say="flask ctx live",
    ),
    Stop(
        "One name, a value per thread",
        "Local and LocalStack keep a storage for each thread, greenlet or task. These can be "
        "listed whole, and what is dead is gone from the list.",
        do=(Link("Let three waiters fill their trays", "/locals"),),
        see=(Link("Context stacks, with the locals", "/stacks"),),
        say="flask ctx stacks",
    ),
    Stop(
        "Proxies",
        "request, session, g and current_app are proxies: names that ask, each time, what is on "
        "top now. Outside a context there is nothing to point at.",
        do=(Link("What they point at", "/proxies"),),
    ),
    Stop(
        "A context without a request",
        "A command, a script and a thread push an application context of their own. They are "
        "traced like requests.",
        do=(Link("Restock, as a command does", "/tour/restock", post=True),),
        see=(Link("Contexts that were no request", "/requests?kind=cli"),),
        say="flask --app example restock",
    ),
    Stop(
        "g: born with the context, dead at the pop",
        "One hook puts the guest on g, another one the tea, a third the time: the column on the "
        "right of a trace. With the pop all of it is gone.",
        do=(Link("Look at one tea", "/teas/4"),),
        see=(
            Link("The latest request", "/requests/latest"),
            Link("Who has a tea on g", "/requests?q=g:tea"),
        ),
        say="flask ctx show /teas/4",
    ),
    Stop(
        "g, the session, or the module?",
        "Three counters that count the same cups, and three answers. Load the page twice, then "
        "once more from another browser.",
        do=(Link("Count the cups", "/lifetimes"),),
        say="flask --app example ctx where cups",
    ),
    Stop(
        "Opened once, closed in reverse",
        "A hook and the view both ask for the menu: it is read once per context. What a context "
        "opens it closes at its end, the last one first, and on the way each statement is noted "
        "with its rows and its line.",
        do=(Link("Look at one tea", "/teas/2"),),
        see=(
            Link("The latest request", "/requests/latest"),
            Link("Ask each resource now", "/app#resources"),
        ),
        say="flask --app example ctx app resources",
    ),
    Stop(
        "Cursors on a stack",
        "with db as cursor, inside another one: each thread has a stack of them over one pool, "
        "and a transaction that fails takes back only what was done in it.",
        do=(
            Link("Lay cursors on the stack", "/cursors"),
            Link("Put a tea into the cart", "/cart/1", post=True),
            Link("Order it, in a transaction", "/orders", post=True),
        ),
        see=(Link("The latest request", "/requests/latest"),),
        say="flask ctx show latest",
    ),
    Stop(
        "Work that outlives its request",
        "Tea is brewed in a pool of threads, after the answer. Each job has a context of its own, "
        "takes the guest along and holds a kettle; its trace names the request that started it, "
        "and that one names the job.",
        do=(Link("Order a pot and look", "/tour/pot", post=True),),
        see=(
            Link("Who holds a kettle", "/live"),
            Link("The jobs", "/requests?kind=task"),
        ),
        say="flask ctx live",
    ),
    Stop(
        "Threads, greenlets, tasks",
        "The same errand, sent each way, in a context of its own: with a copy of the request, the "
        "guest, and a g that no other one writes to. The traces name who sent whom.",
        do=(
            Link("Send threads", "/errands/threads"),
            Link("Send greenlets (gevent)", "/errands/greenlets"),
            Link("Send tasks (asyncio)", "/errands/tasks"),
        ),
        see=(
            Link("The errands", "/requests?kind=task"),
            Link("The request that sent them", "/requests/latest"),
        ),
        say="flask ctx requests kind:task",
    ),
    Stop(
        "Code from before Flask 3",
        "season.py still imports _request_ctx_stack, and runs. The doctor reads all source that "
        "the app is made of and says what to write instead.",
        do=(Link("Ask for the season", "/teas"),),
        say="flask --app example ctx doctor",
    ),
    Stop(
        "In tests",
        "The same traces, as fixtures of pytest: what ran, what was saved, what was closed. A test "
        "that leaves a context behind fails.",
        say="pytest example/tests",
    ),
    Stop(
        "Break it",
        "Plant a mistake with a switch, visit the page that makes it, and read what the kit says "
        "about it without being asked.",
        do=(Link("To the switches", "/break"),),
        see=(Link("Everything that was found", "/findings"),),
        say="flask ctx",
    ),
)
