//! What segue's log tells while it grows: which generations came and went, and how each restart came out.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use serde_json::Value;

/// How a restart comes out, in words of the log.
const OUTCOMES: [&str; 3] = ["restart succeeded", "restart rolled back", "restart failed"];

pub struct Journal {
    path: PathBuf,
    read: u64,
    unfinished: String,
    /// Segue's own lines so far.
    lines: Vec<Value>,
    /// The program's, the latest of them.
    others: Vec<String>,
}

/// One restart.
#[derive(Debug, Clone)]
pub struct Restart {
    pub succeeded: bool,
    /// Did the old generation go before the new one was started?
    pub stop_first: bool,
    /// The line that reported it.
    pub line: Value,
}

impl Journal {
    pub fn new(path: PathBuf) -> Journal {
        Journal {
            path,
            read: 0,
            unfinished: String::new(),
            lines: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Reads what was added.
    pub fn refresh(&mut self) -> &Journal {
        let mut added = Vec::new();
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_end(&mut added).unwrap();
        self.read += u64::try_from(added.len()).unwrap();
        self.unfinished += &String::from_utf8_lossy(&added);
        while let Some((line, rest)) = self.unfinished.split_once('\n') {
            let own = |value: &Value| value["target"].as_str().is_some_and(|it| it.starts_with("segue"));
            match serde_json::from_str(line).ok().filter(own) {
                Some(value) => self.lines.push(value),
                None => self.others.push(line.to_owned()),
            }
            self.unfinished = rest.to_owned();
        }
        self.others.drain(..self.others.len().saturating_sub(20));
        self
    }

    pub fn is_ready(&self, generation: u64) -> bool {
        self.position("generation became ready", generation).is_some()
    }

    /// All restarts that have come out.
    pub fn restarts(&self) -> Vec<Restart> {
        let reports = self
            .lines
            .iter()
            .filter(|line| OUTCOMES.iter().any(|it| line["message"] == *it));
        let restart = |line: &Value| Restart {
            succeeded: line["message"] == OUTCOMES[0],
            stop_first: self.is_stop_first(line["generation"].as_u64().unwrap_or(0)),
            line: line.clone(),
        };
        reports.map(restart).collect()
    }

    /// Was nobody left when this generation was started?
    fn is_stop_first(&self, generation: u64) -> bool {
        let Some(started) = self.position("generation started", generation) else {
            return false;
        };
        (1..generation).all(|old| {
            let gone = self.position("generation is gone", old);
            gone.is_some_and(|gone| gone < started)
        })
    }

    fn position(&self, message: &str, generation: u64) -> Option<usize> {
        let is_it = |line: &Value| line["message"] == message && line["generation"] == generation;
        self.lines.iter().position(is_it)
    }

    /// Is this said anywhere, in whatever case?
    pub fn says(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        self.lines
            .iter()
            .any(|line| line.to_string().to_lowercase().contains(&words))
    }

    /// Has the program said that its address is another's?
    pub fn address_was_taken(&self) -> bool {
        self.others
            .iter()
            .any(|line| line.to_lowercase().contains("address already in use"))
    }

    /// For people: segue's lines, and the program's last.
    pub fn text(&self) -> String {
        let own: Vec<String> = self.lines.iter().map(ToString::to_string).collect();
        format!(
            "--- log of segue\n{}\n--- the program's last lines\n{}",
            own.join("\n"),
            self.others.join("\n")
        )
    }
}
