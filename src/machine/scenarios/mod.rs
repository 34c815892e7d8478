//! Behaviours by name: given events, then actions. The same table prints `docs/state-machine.md`.

mod crash;
mod life;
mod questions;
mod restart;
mod workers;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{Action, Ending, Event, Fault, Limits, Mode, Outcome, Policy, Reason, State, step};

/// A moment in seconds since boot, and what happens then.
type Happening = (f64, Event);

struct Scenario {
    name: &'static str,
    limits: fn(&mut Limits),
    happenings: Vec<Happening>,
}

fn defaults() -> Limits {
    Limits {
        stop_timeout: Some(Duration::from_secs(30)),
        drain_delay: Duration::ZERO,
        drain_timeout: Some(Duration::from_secs(15)),
        retire_timeout: Some(Duration::from_secs(30)),
        retire_drain_timeout: Some(Duration::from_secs(15)),
        ready_timeout: Some(Duration::from_secs(60)),
        probation: Duration::from_secs(1),
        survival_proves: true,
        mode: Mode::Overlap,
        policy: Policy::Never,
        restart_delay: Duration::from_secs(1),
        restart_max_delay: Duration::from_secs(30),
        restart_limit: Some(5),
        stable_delay: Duration::from_secs(10),
        pre_start: false,
        post_stop: false,
        success_codes: Vec::new(),
        success_signal: None,
    }
}

fn started(generation: u64) -> Event {
    Event::Started { generation }
}
fn listens(generation: u64) -> Event {
    Event::BeganToListen { generation }
}
fn ready(generation: u64) -> Event {
    Event::BecameReady { generation }
}
fn awaits(generation: u64) -> Event {
    Event::AddressesAwaited {
        generation,
        awaited: true,
    }
}
fn listens_everywhere(generation: u64) -> Event {
    Event::AddressesAwaited {
        generation,
        awaited: false,
    }
}
fn exited(generation: u64, code: u8) -> Event {
    Event::Exited {
        generation,
        ending: Ending::Code(code),
        queued: false,
    }
}
fn killed(generation: u64, signal: i32) -> Event {
    Event::Exited {
        generation,
        ending: Ending::Signal(signal),
        queued: false,
    }
}
fn emptied(generation: u64) -> Event {
    Event::Emptied { generation }
}
fn drained(generation: u64) -> Event {
    Event::Drained { generation }
}
fn not_started(generation: u64, code: u8, reason: &str) -> Event {
    Event::NotStarted {
        generation,
        fault: Fault {
            code,
            reason: reason.into(),
        },
    }
}
const HUP: Event = Event::RestartRequested { reason: Reason::Hup };
const STOP: Event = Event::StopRequested;
const TIME: Event = Event::TimePassed;
const USR1: Event = Event::SignalReceived {
    signal: 10,
    value: None,
};

/// A generation that is up, and what happens then.
fn up(more: &[Happening]) -> Vec<Happening> {
    let mut all = vec![(0.0, Event::Booted), (0.0, started(1)), (0.1, ready(1))];
    all.extend_from_slice(more);
    all
}

fn plain(_: &mut Limits) {}

fn scenarios() -> Vec<Scenario> {
    [
        life::scenarios(),
        restart::scenarios(),
        workers::scenarios(),
        crash::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table for people: most print themselves"
)]
fn say(action: &Action) -> String {
    match action {
        Action::Report(report) => {
            let generation = report.generation.map_or_else(|| "-".to_owned(), |it| it.to_string());
            match &report.outcome {
                Outcome::Replaced if report.outlived => {
                    format!(
                        "Report: replaced, generation {generation} listens on nothing and has outlived its probation"
                    )
                }
                Outcome::Replaced => format!("Report: replaced, generation {generation} serves"),
                Outcome::RolledBack { why } => format!("Report: generation {generation} rolled back, {why}"),
                Outcome::Failed { why } => format!("Report: failed, {why}"),
            }
        }
        Action::RestartNext { .. } => "RestartNext".into(),
        other => {
            let words = format!("{other:?}");
            words
                .replace(" { generation: ", " ")
                .replace(" { code: ", " ")
                .replace(", signal: ", ", signal ")
                .replace(", value: None", "")
                .replace(" }", "")
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table for people: most print themselves"
)]
fn tell(event: &Event) -> String {
    let what = event.headline();
    let whose = event
        .generation()
        .map_or_else(String::new, |generation| format!(" ({generation})"));
    match event {
        Event::Exited { ending, .. } => format!("program{whose} {ending}"),
        Event::Prepared {
            outcome: Err(fault), ..
        }
        | Event::NotStarted { fault, .. } => {
            format!("{what}{whose}: {}", fault.reason)
        }
        _ => format!("{what}{whose}"),
    }
}

fn print() -> String {
    let mut page = String::from(
        "# The state machine, by example\n\nPrinted by a test from the scenario table in `src/machine/scenarios/`; \
         `make docs` prints it again. Times are seconds since boot. Settings are the defaults, but for what a \
         scenario's name says.\n",
    );
    let boot = Instant::now();
    for scenario in scenarios() {
        let mut limits = defaults();
        (scenario.limits)(&mut limits);
        let mut state = State::new();
        write!(
            page,
            "\n## {}\n\n| at | event | actions |\n|---:|---|---|\n",
            scenario.name
        )
        .unwrap();
        for (at, event) in scenario.happenings {
            let told = tell(&event);
            let (next, actions) = step(&limits, state, event, boot + Duration::from_secs_f64(at));
            state = next;
            let mut said: Vec<String> = actions.iter().map(say).collect();
            // The mode is chosen in between, which is no matter here.
            for action in actions {
                let Action::RestartNext { reason } = action else {
                    continue;
                };
                let event = Event::RestartRequested { reason };
                let (next, actions) = step(&limits, state, event, boot + Duration::from_secs_f64(at));
                state = next;
                said.extend(actions.iter().map(say));
            }
            writeln!(page, "| {at:.1} | {told} | {} |", said.join(" · ")).unwrap();
        }
    }
    page
}

/// The table is the specification: a change of behaviour shows as a change of the page, and is read as one.
#[test]
fn the_page_shows_what_the_machine_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/state-machine.md");
    let page = print();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = page.lines().zip(kept.lines()).find(|(new, old)| new != old);
    assert!(
        page == kept,
        "docs/state-machine.md differs, first here: {differs:?}; run make docs and read the change"
    );
}
