//! LIVES one life of segue with a call that fails: start, a restart, a stop, with clients throughout; and tells what came of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    call::{Call, Path},
    support::{
        self,
        client::{self, Load},
        hello, loopback,
        segue::{As, Recipe, Segue, children},
        wait,
    },
    tracer::{self, Injection, Traced},
};

/// How the program comes by its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It binds by itself.
    Transparent,
    /// Segue binds, and passes them.
    Declared,
    /// It binds by itself, and is stopped before the next one starts.
    StopFirst,
}

/// What segue did about a call that failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Did {
    /// As if nothing had been.
    #[default]
    GoesOn,
    /// It ends before the program could begin, with a line that says why and a code that says so.
    Refuses,
    /// The program's own call fails with that error, as it would without segue.
    Tells,
    /// It goes on, says that there is no hand-over, and restarts stop the program first.
    Without,
    /// That one socket is not handed over, which is said: a restart stops the program first, and refuses connections meanwhile;
    /// or those that waited for the new generation are reset.
    LeavesIt,
    /// The new generation is thrown away, with the reason; the old one goes on, and the next restart succeeds. Where the old
    /// one has been stopped first, another is started as after a crash.
    RollsBack,
    /// The signal is heard when the next one comes.
    HearsNext,
}

/// What came of a life.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Was the call made that was to fail?
    pub injected: bool,
    pub did: Did,
    /// What broke that must never break.
    pub broken: Vec<String>,
    pub log: String,
    pub calls: Vec<Call>,
}

/// From the request to the end at most; the program itself takes no time.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The exit code of a fault of segue's own.
const INTERNAL: i32 = 70;
const WITHOUT: &str =
    "no transparent hand-over: the program's own sockets cannot be handed over, a restart stops it first";
const LEAVES_IT: [&str; 3] = [
    "cannot hand over a socket of the program, so a restart stops it first",
    "connections were reset that waited for the program to listen again",
    "the system refused something",
];
/// A signal that was not heard for so long is sent again.
const HEARING: Duration = Duration::from_secs(4);

pub fn live(mode: Mode, injection: Option<Injection>) -> Outcome {
    let port = support::free_port();
    let address = format!("127.0.0.1:{port}");
    let words = [hello().into_os_string(), address.clone().into()];
    let mut recipe = Recipe::plain(As::Init, words)
        .set("SEGUE_PROBATION", "10ms")
        .set("SEGUE_READY_TIMEOUT", "10s")
        .set("SEGUE_STOP_TIMEOUT", "10s");
    match mode {
        Mode::Transparent => {}
        Mode::Declared => recipe = recipe.set("SEGUE_LISTEN", &address).set("SEGUE_READY", "notify"),
        Mode::StopFirst => {
            let settings = [
                ("SEGUE_RESTART_MODE", "stop-first"),
                ("SEGUE_RESTART", "always"),
                ("SEGUE_RESTART_DELAY", "10ms"),
            ];
            recipe = recipe.with(&settings);
        }
    }
    let files = support::directory();
    // A place of its own: those who look for a free one ask each other.
    let command = recipe
        .set("SEGUE_CONTROL", files.path().join("control"))
        .command(files.path());
    let (segue, traced) = tracer::start(command, files, injection.clone());
    Life {
        mode,
        path: injection.map(|it| it.call.path),
        port,
        segue,
        traced,
        load: None,
        outcome: Outcome::default(),
    }
    .lived()
}

struct Life {
    mode: Mode,
    /// Where the call fails.
    path: Option<Path>,
    port: u16,
    segue: Segue,
    traced: Traced,
    load: Option<Load>,
    outcome: Outcome,
}

impl Life {
    fn lived(mut self) -> Outcome {
        // What never comes is a panic of whoever waits for it.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.goes_by())) {
            let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            self.broken(format!("it hangs: {what}"));
        }
        self.load.take().map(Load::stop);
        self.outcome.injected = self.traced.was_injected();
        self.outcome.log = self.segue.stderr();
        if self.outcome.log.contains("panicked") && self.traced.end() != Some(INTERNAL) {
            self.broken("it panicked".to_owned());
        }
        // signal-hook's stream panics by an error of recvfrom(2): it is caught, and the signals go on.
        self.segue.may_fault = true;
        drop(self.segue);
        self.outcome.calls = self.traced.calls();
        self.outcome
    }

    fn goes_by(&mut self) {
        if !self.starts() {
            return;
        }
        // Requests take a moment, so that there is always one under way.
        let address = loopback(self.port);
        self.load = Some(Load::of(1, move || {
            Box::new(move || client::get(address, "/slow?ms=2"))
        }));
        self.restarts();
        let tally = self.load.take().map(Load::stop).unwrap_or_default();
        if tally.failed() > 0 && self.outcome.did != Did::Without {
            let refused_at_once = tally.timed_out + tally.truncated + tally.not_2xx == 0 && tally.other.is_empty();
            if self.said_that_it_leaves_it() && refused_at_once {
                self.outcome.did = Did::LeavesIt;
            } else {
                self.broken(format!("requests were lost: {tally}"));
            }
        }
        self.stops();
    }

    fn said_that_it_leaves_it(&self) -> bool {
        LEAVES_IT.iter().any(|message| !self.segue.lines(message).is_empty())
    }

    fn broken(&mut self, what: String) {
        self.outcome.broken.push(what);
    }

    /// Is the program ready? Else it was not started, or has ended.
    fn starts(&mut self) -> bool {
        let ended = wait::until("it starts or refuses", || {
            let ready = !self.segue.lines("generation became ready").is_empty();
            self.segue.try_wait().map(Some).or(ready.then_some(None))
        });
        if ended.is_none() {
            // That line may be the one that is lost.
            if self.path != Some(Path::Start) {
                self.segue.line("control socket", 1);
            }
            self.traced.quiet();
            if !self.segue.lines(WITHOUT).is_empty() {
                self.outcome.did = Did::Without;
            }
            return true;
        }
        // `unshare` may be gone a moment before the tracer has said how segue ended.
        let code = wait::until("its end is reported", || self.traced.end());
        let log = self.segue.stderr();
        let said =
            log.starts_with("segue: ") || log.contains("panicked") || log.contains("generation could not be started");
        let by_program = self.traced.was_executed() && log.contains("program ended");
        match code {
            70 | 71 | 126 | 127 if said => self.outcome.did = Did::Refuses,
            1 if by_program => self.outcome.did = Did::Tells,
            _ => self.broken(format!("it ended with {code} and said {log}")),
        }
        if self.path != Some(Path::Start) {
            self.broken("it did not start".to_owned());
        }
        false
    }

    /// Sends a signal until segue, which is at rest, says anything.
    fn ask(&mut self, signal: i32) {
        let before = self.segue.stderr().len();
        loop {
            let begin = Instant::now();
            self.segue.signal(signal);
            let heard = wait::until("the signal is heard", || {
                let heard = self.segue.stderr().len() > before || self.segue.try_wait().is_some();
                (heard || begin.elapsed() > HEARING).then_some(heard)
            });
            if heard {
                return;
            }
            self.outcome.did = Did::HearsNext;
        }
    }

    /// By HUP; how it came out.
    fn restart(&mut self) -> String {
        let outcomes = ["restart succeeded", "restart rolled back", "restart failed"];
        let ended = |segue: &Segue| -> usize { outcomes.iter().map(|it| segue.lines(it).len()).sum() };
        let before = ended(&self.segue);
        self.ask(libc::SIGHUP);
        wait::until("the restart comes out", || (ended(&self.segue) > before).then_some(()));
        let mut lines = self.segue.log();
        lines.retain(|line| outcomes.iter().any(|it| line["message"] == *it));
        lines[before]["outcome"].as_str().unwrap_or_default().to_owned()
    }

    fn restarts(&mut self) {
        self.traced.enter(Path::Restart);
        let outcome = self.restart();
        if outcome == "failed" && self.mode == Mode::StopFirst {
            self.outcome.did = Did::RollsBack;
        } else if outcome != "replaced" {
            self.outcome.did = Did::RollsBack;
            self.serves();
            let again = self.restart();
            if again != "replaced" && self.path == Some(Path::Start) {
                self.outcome.did = Did::LeavesIt;
            } else if again != "replaced" {
                self.broken(format!("the next restart fails too: {again}"));
            }
        }
        wait::until("one generation is left", || {
            let gone = !self.segue.lines("generation is gone").is_empty();
            (gone && children(self.segue.pid()).len() == 1).then_some(())
        });
        self.traced.quiet();
        self.serves();
    }

    fn serves(&mut self) {
        // One that waited may be reset.
        let tries = if self.said_that_it_leaves_it() { 3 } else { 1 };
        let answers = (0..tries).map(|_| client::get(loopback(self.port), "/"));
        let answers: Vec<_> = answers.collect();
        if let Some(Err(error)) = answers.iter().find(|it| it.is_ok()).or(answers.last()) {
            self.broken(format!("it does not serve: {error}"));
        }
    }

    /// With a request under way, which is answered.
    fn stops(&mut self) {
        let under_way = TcpStream::connect(loopback(self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(wait::PATIENCE))?;
            stream.write_all(b"GET /slow?ms=20 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
            Ok(stream)
        });
        self.traced.enter(Path::Stop);
        let begin = Instant::now();
        self.ask(libc::SIGTERM);
        let code = self.segue.wait();
        if begin.elapsed() > STOP_TIMEOUT - Duration::from_secs(1) {
            self.broken(format!("it took {:?} to stop", begin.elapsed()));
        }
        if code != 0 {
            self.broken(format!("it ended with {code}"));
        }
        let mut answer = String::new();
        let read = under_way.and_then(|mut stream| stream.read_to_string(&mut answer));
        if read.is_err() || !answer.starts_with("HTTP/1.1 200") {
            self.broken(format!("the request under way was lost: {read:?} {answer:?}"));
        }
    }
}
