//! The settings that choose one of a few words. A word is never abbreviated and never another spelling.

use super::{Reason, Value};
use crate::settings::nearest::nearest;

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident: $accepts:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name {
                $($(#[$variant_doc])* $variant,)*
            }

            impl Value for $name {
                const ACCEPTS: &'static str = $accepts;

                fn parse(text: &str) -> Result<Self, Reason> {
                    match text {
                        $($word => Ok($name::$variant),)*
                        _ => Err(none_of(text, &[$($word),*])),
                    }
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(match self {
                        $($name::$variant => $word,)*
                    })
                }
            }
        )*

        /// Every type of this file: what it accepts in prose, the words it knows.
        #[cfg(test)]
        const ALL: &[(&str, &[&str])] = &[$(($accepts, &[$($word),*])),*];
    };
}

choices! {
    /// Who sees to it that connections finish before the program is stopped: `SEGUE_DRAIN`.
    DrainMode: "`auto`, `connections`, `signal`" {
        /// The program if it catches the stop signal, else segue.
        Auto = "auto",
        /// Segue: it waits for the connections, then sends the stop signal.
        Connections = "connections",
        /// The program: it gets the stop signal at once.
        Signal = "signal",
    }

    /// What a SIGHUP does: `SEGUE_ON_HUP`.
    OnHup: "`restart`, `forward`" {
        /// Replaces the serving generation.
        Restart = "restart",
        /// Goes to the program like any other signal.
        Forward = "forward",
    }

    /// Which generation goes first in a restart: `SEGUE_RESTART_MODE`.
    RestartMode: "`auto`, `overlap`, `stop-first`" {
        /// The new one, unless there is evidence that two at once would harm each other.
        Auto = "auto",
        /// The new one starts before the old one goes.
        Overlap = "overlap",
        /// The old one goes before the new one starts.
        StopFirst = "stop-first",
    }

    /// What happens to listening sockets in a restart: `SEGUE_HANDOVER`.
    Handover: "`auto`, `transparent`, `listen-fds`, `proxy`, `none`" {
        /// The best that the settings and the kernel allow.
        Auto = "auto",
        /// The program's own bind is answered with segue's socket.
        Transparent = "transparent",
        /// Sockets bound by segue are passed on as fd 3 and up.
        ListenFds = "listen-fds",
        /// Segue serves the address itself and forwards.
        Proxy = "proxy",
        /// Nothing is handed over.
        None = "none",
    }

    /// What happens when the program ends by itself: `SEGUE_RESTART`.
    RestartPolicy: "`never`, `on-failure`, `always`" {
        /// Segue exits with its code.
        Never = "never",
        /// It is started again unless it succeeded.
        OnFailure = "on-failure",
        /// It is started again.
        Always = "always",
    }

    /// What log lines look like: `SEGUE_LOG_FORMAT`.
    LogFormat: "`auto`, `json`, `text`" {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One JSON object per line.
        Json = "json",
        /// For people.
        Text = "text",
    }

    /// How changed files are noticed: `SEGUE_WATCH_BACKEND`.
    WatchBackend: "`auto`, `inotify`, `poll`" {
        /// inotify where it can see.
        Auto = "auto",
        /// The kernel tells.
        Inotify = "inotify",
        /// Segue looks.
        Poll = "poll",
    }
}

/// Says which words there are, and which of them was probably meant.
pub(super) fn none_of(text: &str, words: &[&str]) -> Reason {
    let list = words.join(", ");
    match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean {word}? it is one of {list}").into(),
        None => format!("not one of {list}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prose_is_the_code() {
        for (accepts, words) in ALL {
            assert_eq!(*accepts, format!("`{}`", words.join("`, `")));
        }
    }

    #[test]
    fn a_word_reads_back_as_it_is_shown() {
        for word in ["auto", "transparent", "listen-fds", "proxy", "none"] {
            assert_eq!(Handover::parse(word).unwrap().to_string(), word);
        }
    }

    #[test]
    fn another_spelling_is_a_fault_that_lists_the_words() {
        let reason = RestartMode::parse("stop_first").unwrap_err().to_string();
        assert_eq!(
            reason,
            "did you mean stop-first? it is one of auto, overlap, stop-first"
        );
        let reason = OnHup::parse("reexec").unwrap_err().to_string();
        assert_eq!(reason, "not one of restart, forward");
        OnHup::parse("").unwrap_err();
    }
}
