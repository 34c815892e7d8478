//! Files that segue finds a place for by itself unless it is told one, or told to do without.

use std::path::PathBuf;

use super::address::UNIX_PATH_MAX;
use super::{Reason, Value};

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident { $(#[$auto:meta])* Auto, $(#[$off:meta])* Off, $(#[$path:meta])* Path })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub enum $name {
                $(#[$auto])*
                Auto,
                $(#[$off])*
                Off,
                $(#[$path])*
                Path(PathBuf),
            }

            impl Value for $name {
                const ACCEPTS: &'static str = "path, `auto`, `off`";

                fn parse(text: &str) -> Result<Self, Reason> {
                    Ok(match text {
                        "auto" => $name::Auto,
                        "off" => $name::Off,
                        _ => $name::Path($name::fitting(path(text)?)?),
                    })
                }
            }
        )*
    };
}

places! {
    /// Where the control socket is: `SEGUE_CONTROL`.
    Control {
        /// The first writable of `/run`, `/dev/shm` and `/tmp`.
        Auto,
        /// There is none.
        Off,
        /// Here; short enough for a socket.
        Path
    }

    /// Where the last reason is left for Kubernetes to show: `SEGUE_TERMINATION_LOG`.
    TerminationLog {
        /// `/dev/termination-log` if it exists.
        Auto,
        /// Nowhere.
        Off,
        /// Here.
        Path
    }
}

impl Control {
    fn fitting(path: PathBuf) -> Result<PathBuf, Reason> {
        if path.as_os_str().len() > UNIX_PATH_MAX {
            return Err(format!("the path of a socket has at most {UNIX_PATH_MAX} bytes").into());
        }
        Ok(path)
    }
}

impl TerminationLog {
    #[expect(clippy::unnecessary_wraps, reason = "its sibling, made by the same macro, can fail")]
    fn fitting(path: PathBuf) -> Result<PathBuf, Reason> {
        Ok(path)
    }
}

/// A path has a slash, so that a misspelt `off` does not become a file.
fn path(text: &str) -> Result<PathBuf, Reason> {
    if !text.contains('/') {
        return Err("neither auto nor off nor a path, which has a slash, such as ./file".into());
    }
    PathBuf::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths() {
        assert_eq!(Control::parse("auto"), Ok(Control::Auto));
        assert_eq!(TerminationLog::parse("off"), Ok(TerminationLog::Off));
        assert_eq!(TerminationLog::parse("./off"), Ok(TerminationLog::Path("./off".into())));
        for text in ["", "of", "false", "/a\0b"] {
            Control::parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_control_socket_has_a_longest_path() {
        let long = format!("/{}", "a".repeat(107));
        Control::parse(&long).unwrap_err();
        TerminationLog::parse(&long).unwrap();
    }
}
