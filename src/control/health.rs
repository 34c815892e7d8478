//! JUDGES whether segue lives, is ready, has started: the probes' answers, out of a status. Pure.

use super::status::Status;

/// A probe's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was asked for.
    pub name: &'static str,
    /// What it is made of, each with `Ok` and a word on it, or with what is wrong.
    pub parts: Vec<(String, Result<String, String>)>,
}

/// What a probe can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Does segue's own loop turn? A program that crashes or restarts is no failure of this.
    Live,
    /// Does a ready generation serve, with no stop under way?
    Ready,
    /// Was a generation ever ready?
    Startup,
}

impl Probe {
    /// The answer. That there is a status at all shows that the loop turns.
    #[must_use]
    pub fn judge(self, status: &Status) -> Verdict {
        let turns = ("loop".to_owned(), Ok("turns".to_owned()));
        match self {
            Probe::Live => Verdict {
                name: "livez",
                parts: [turns]
                    .into_iter()
                    .chain(status.faults.iter().map(begun_again))
                    .collect(),
            },
            Probe::Startup => Verdict {
                name: "startupz",
                parts: vec![turns, ("started".into(), started(status))],
            },
            Probe::Ready => Verdict {
                name: "readyz",
                parts: vec![
                    turns,
                    ("generation".into(), generation(status)),
                    ("addresses".into(), addresses(status)),
                    ("drain".into(), drain(status)),
                    ("stop".into(), stop(status)),
                ],
            },
        }
    }
}

/// A part that has begun again works, and that it had to is told.
fn begun_again((part, times): (&String, &u64)) -> (String, Result<String, String>) {
    (
        part.clone(),
        Ok(format!("begun again after a fault of its own, times: {times}")),
    )
}

fn started(status: &Status) -> Result<String, String> {
    if status.started {
        Ok("a generation has been ready".into())
    } else {
        Err(status.reason.clone())
    }
}

fn generation(status: &Status) -> Result<String, String> {
    let serving = status.generations.iter().find(|it| it.role == "serving");
    match (serving, status.generation) {
        (Some(it), _) => Ok(format!("generation {} serves", it.number)),
        (None, _) if status.stop.is_some() || status.draining.is_some() => Ok("not needed any more".into()),
        (None, _) => Err(status.reason.clone()),
    }
}

fn addresses(status: &Status) -> Result<String, String> {
    if status.unserved.is_empty() {
        Ok("served".into())
    } else {
        Err(format!("not served any more: {}", status.unserved.join(", ")))
    }
}

fn drain(status: &Status) -> Result<String, String> {
    match status.draining {
        None => Ok("not asked for".into()),
        Some(_) => Err("segue drain was asked for".into()),
    }
}

fn stop(status: &Status) -> Result<String, String> {
    match (&status.stop, status.phase.as_str()) {
        (None, "booting" | "running") => Ok("not asked for".into()),
        (None, _) => Err("the program has ended".into()),
        (Some(_), _) => Err("a stop is under way".into()),
    }
}

impl Verdict {
    /// Is it a yes?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.parts.iter().all(|(_, part)| part.is_ok())
    }

    /// One line: `ok`, or what is wrong.
    #[must_use]
    pub fn reason(&self) -> String {
        let wrong = self.parts.iter().filter_map(|(_, part)| part.as_ref().err());
        let wrong: Vec<&str> = wrong.map(String::as_str).collect();
        if wrong.is_empty() {
            "ok".into()
        } else {
            wrong.join("; ")
        }
    }

    /// A line for each part, as Kubernetes' own components write them.
    #[must_use]
    pub fn verbose(&self) -> String {
        let part = |(name, part): &(String, Result<String, String>)| match part {
            Ok(word) => format!("[+]{name} ok: {word}\n"),
            Err(why) => format!("[-]{name} failed: {why}\n"),
        };
        let parts: String = self.parts.iter().map(part).collect();
        let outcome = if self.holds() { "passed" } else { "failed" };
        format!("{parts}{} check {outcome}\n", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, Probe};

    #[test]
    fn a_part_that_has_begun_again_is_told_and_no_failure() {
        let mut status = sample::status();
        assert_eq!(
            Probe::Live.judge(&status).verbose(),
            "[+]loop ok: turns\nlivez check passed\n"
        );
        status.faults.insert("control".into(), 2);
        let verdict = Probe::Live.judge(&status);
        assert!(verdict.holds() && verdict.reason() == "ok");
        let text = verdict.verbose();
        assert!(
            text.contains("[+]control ok: begun again after a fault of its own, times: 2\n"),
            "{text}"
        );
    }
}
