//! How segue learns that a generation may get traffic.

use std::{path::PathBuf, time::Duration};

use super::choice::none_of;
use super::{Address, Command, HttpProbe, Reason, Value};

/// The words that need nothing after them, and the beginnings of the others.
const WORDS: [&str; 8] = [
    "auto",
    "started",
    "listening",
    "notify",
    "tcp:ADDRESS",
    "http:URL",
    "exec:COMMAND",
    "file:PATH",
];

/// What shows that a generation is ready: `SEGUE_READY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Whatever can be seen first.
    Auto,
    /// That it was started.
    Started,
    /// That it listens.
    Listening,
    /// That it says so: `READY=1`, sd_notify(3).
    Notify,
    /// That a connection is accepted here.
    Tcp(Address),
    /// That a request is answered with success.
    Http(HttpProbe),
    /// That this command succeeds.
    Exec(Command),
    /// That this file is there, and newer than the generation's start.
    File(PathBuf),
}

/// How long a replacing generation may take: `SEGUE_READY_TIMEOUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyTimeout {
    /// A minute, or what the first generation took, if three times that is longer.
    Auto,
    /// So long; zero is for ever.
    After(Duration),
}

impl ReadyTimeout {
    /// `None` is for ever. `first` is what the first generation took, if that is known.
    #[must_use]
    pub fn limit(self, first: Option<Duration>) -> Option<Duration> {
        const LEAST: Duration = Duration::from_secs(60);
        match self {
            ReadyTimeout::Auto => Some(first.unwrap_or_default().saturating_mul(3).max(LEAST)),
            ReadyTimeout::After(limit) => (!limit.is_zero()).then_some(limit),
        }
    }
}

impl Value for ReadyTimeout {
    const ACCEPTS: &'static str = "`auto`, duration";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text == "auto" {
            return Ok(ReadyTimeout::Auto);
        }
        Duration::parse(text).map(ReadyTimeout::After)
    }
}

impl Value for Ready {
    const ACCEPTS: &'static str =
        "`auto`, `started`, `listening`, `notify`, `tcp:ADDRESS`, `http:URL`, `exec:COMMAND`, `file:PATH`";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text.to_ascii_lowercase().starts_with("https:") {
            return HttpProbe::parse(text).map(Ready::Http);
        }
        match (text, text.split_once(':')) {
            ("auto", _) => Ok(Ready::Auto),
            ("started", _) => Ok(Ready::Started),
            ("listening", _) => Ok(Ready::Listening),
            ("notify", _) => Ok(Ready::Notify),
            (_, Some(("tcp", address))) => {
                Address::parse(address.strip_prefix("//").unwrap_or(address)).map(Ready::Tcp)
            }
            (_, Some(("http", url))) => HttpProbe::parse(url).map(Ready::Http),
            (_, Some(("exec", command))) => Command::parse(command).map(Ready::Exec),
            (_, Some(("file", ""))) => Err("no path after file:, give for example file:/run/ready".into()),
            (_, Some(("file", path))) => PathBuf::parse(path).map(Ready::File),
            _ => Err(none_of(text, &WORDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let words = [Ready::Auto, Ready::Started, Ready::Listening, Ready::Notify];
        for (word, ready) in ["auto", "started", "listening", "notify"].iter().zip(words) {
            assert_eq!(Ready::parse(word), Ok(ready));
        }
    }

    #[test]
    fn a_timeout_grows_with_what_the_first_generation_took() {
        let auto = ReadyTimeout::parse("auto").unwrap();
        for (first, limit) in [(0, 60), (19, 60), (20, 60), (21, 63), (600, 1800)] {
            let limit = Some(Duration::from_secs(limit));
            assert_eq!(auto.limit(Some(Duration::from_secs(first))), limit);
        }
        assert_eq!(auto.limit(None), Some(Duration::from_secs(60)));
        let of = |text: &str| ReadyTimeout::parse(text).unwrap().limit(Some(Duration::from_secs(600)));
        assert_eq!((of("5s"), of("0")), (Some(Duration::from_secs(5)), None));
        assert!(ReadyTimeout::parse("60").is_err());
    }

    #[test]
    fn probes() {
        let tcp = Ready::Tcp(Address::AnyInterface(80));
        assert_eq!(Ready::parse("tcp::80"), Ok(tcp.clone()));
        assert_eq!(Ready::parse("tcp://:80"), Ok(tcp));
        let http = Ready::parse("http://127.0.0.1:8080/ready").unwrap();
        for text in ["http:http://127.0.0.1:8080/ready", "http:127.0.0.1:8080/ready"] {
            assert_eq!(Ready::parse(text), Ok(http.clone()), "{text}");
        }
        let Ok(Ready::Http(probe)) = Ready::parse("http::8080/ready") else {
            panic!("no probe")
        };
        assert_eq!(probe.address, Address::AnyInterface(8080));
        let Ok(Ready::Exec(command)) = Ready::parse("exec:sh -c 'a b'") else {
            panic!("no command")
        };
        assert_eq!(command.words, ["sh", "-c", "a b"]);
    }

    #[test]
    fn each_slip_is_told_what_would_be_right() {
        for (text, why) in [
            ("", "not one of"),
            ("strated", "did you mean started?"),
            ("tcp:80", "colon before it"),
            ("https://127.0.0.1/", "https is not supported"),
            ("http:https://127.0.0.1/", "https is not supported"),
            ("exec:", "no command"),
            ("file:", "no path"),
        ] {
            let reason = Ready::parse(text).unwrap_err().to_string();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }
}
