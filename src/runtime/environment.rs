//! BUILDS the environment of a generation: segue's own without its settings, what the files of `SEGUE_ENV_FILES` say
//! now, and what segue tells. Never changes segue's own environment.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use nix::unistd::{SysconfVar, sysconf};

use super::dotenv;
use crate::{
    handover::inherited,
    process::regular,
    settings::{PREFIX, Settings, value::Secret},
};

/// The longest file that is read: more than the kernel takes of variables in all (6 MiB).
const MOST: usize = 8 << 20;

/// Variables by name; `BTreeMap` keeps the order the same from generation to generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment(BTreeMap<OsString, OsString>);

/// A file of `SEGUE_ENV_FILES` that cannot be used. Never holds a value: those may be secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("SEGUE_ENV_FILES: {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("SEGUE_ENV_FILES: {path}: {lines}")]
    Lines { path: String, lines: String },
    #[error("SEGUE_ENV_FILES: {path}: {name:?} holds a NUL byte, which no environment can")]
    Nul { path: String, name: OsString },
    #[error("SEGUE_ENV_FILES: {path}: {name:?} is longer than the {longest} bytes with which a program can be started")]
    Long {
        path: String,
        name: OsString,
        longest: usize,
    },
    #[error("SEGUE_SECRETS: {name}: {why}")]
    Secret { name: String, why: String },
}

/// Which files must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// All that settings name.
    All,
    /// None: what is asked for is to make them.
    ThoseThatAreThere,
}

impl Files {
    fn forgive(self, fault: Fault) -> Result<(), Fault> {
        match self {
            Files::All => Err(fault),
            Files::ThoseThatAreThere => {
                tracing::debug!(%fault, "a hook does without");
                Ok(())
            }
        }
    }
}

/// What is wrong with the files of variables and secrets, and which of them contradict a variable that is set: they are read as for
/// a generation, and nothing is kept. What SEGUE_PRE_START may make is not missed.
pub(crate) fn check(all: &[(OsString, OsString)], settings: &Settings) -> (Vec<String>, Vec<String>) {
    let mut environment = Environment::inherited(all, false, false);
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut note = |fault: Fault| {
        let missing = matches!(&fault, Fault::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound);
        if !(missing && settings.pre_start.is_some()) {
            faults.push(fault.to_string());
        }
    };
    for path in &settings.env_files {
        let mut read = Environment(BTreeMap::new());
        if let Err(fault) = read.read_files(std::slice::from_ref(path), None) {
            note(fault);
            continue;
        }
        for (name, value) in read.0 {
            if environment.0.get(&name).is_some_and(|set| *set != value) {
                let path = path.display();
                warnings.push(format!(
                    "SEGUE_ENV_FILES: {path} has another value of {name:?} than is set, and wins"
                ));
            }
            environment.0.insert(name, value);
        }
    }
    for secret in &settings.secrets {
        environment.read_secret(secret, None).unwrap_or_else(&mut note);
    }
    (faults, warnings)
}

impl Environment {
    /// Segue's own, less what is not for the program.
    pub(super) fn inherited(all: &[(OsString, OsString)], keep_settings: bool, sockets_are_ours: bool) -> Environment {
        let passes = |name: &OsStr| {
            let setting = name.as_bytes().starts_with(PREFIX.as_bytes());
            let sockets = inherited::VARIABLES.iter().any(|variable| name == OsStr::new(variable));
            // What it names is segue's to talk to: it would take the word of one generation for that of all.
            let manager = name == "NOTIFY_SOCKET";
            !(setting && !keep_settings || sockets && sockets_are_ours || manager)
        };
        let mut environment = Environment(BTreeMap::new());
        environment
            .0
            .extend(all.iter().filter(|(name, _)| passes(name)).cloned());
        environment
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    pub(super) fn extend(&mut self, entries: &[(OsString, OsString)]) {
        self.0.extend(entries.iter().cloned());
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Reads files of variables, then secrets.
    pub(super) fn read(
        &mut self,
        paths: &[PathBuf],
        secrets: &[Secret],
        directory: Option<&Path>,
        files: Files,
    ) -> Result<(), Fault> {
        for path in paths {
            self.read_files(std::slice::from_ref(path), directory)
                .or_else(|fault| files.forgive(fault))?;
        }
        for secret in secrets {
            self.read_secret(secret, directory)
                .or_else(|fault| files.forgive(fault))?;
        }
        Ok(())
    }

    /// Variables that name the files of secrets are nothing for the program.
    pub(super) fn remove_files_of(&mut self, secrets: &[Secret]) {
        for secret in secrets {
            self.0.remove(OsStr::new(&format!("{}_FILE", secret.name)));
        }
    }

    /// The value of a variable from a file. Whoever reads it is root, before the program drops that.
    fn read_secret(&mut self, secret: &Secret, directory: Option<&Path>) -> Result<(), Fault> {
        let name = &secret.name;
        let fault = |why: String| Fault::Secret {
            name: name.clone(),
            why,
        };
        let from = format!("{name}_FILE");
        let named = self.0.remove(OsStr::new(&from)).filter(|path| !path.is_empty());
        if self.get(name).is_some_and(|value| !value.is_empty()) {
            return Err(fault(
                "it is set, too; leave the variable out, or take it out of SEGUE_SECRETS".to_owned(),
            ));
        }
        let path = secret.path.clone().or(named.map(PathBuf::from));
        let path = path.ok_or_else(|| fault(format!("{from} does not name its file; set that, or give NAME=PATH")))?;
        let path = directory.map_or_else(|| path.clone(), |directory| directory.join(&path));
        let mut value = regular::read(&path, MOST).map_err(|error| fault(format!("{}: {error}", path.display())))?;
        while value.last() == Some(&b'\n') {
            value.pop();
        }
        if value.is_empty() {
            tracing::warn!(name, path = %path.display(), "the file of a secret is empty");
        }
        self.add(name.into(), OsString::from_vec(value), &path)
            .map_err(|wrong| {
                let why = wrong.to_string();
                fault(why.strip_prefix("SEGUE_ENV_FILES: ").unwrap_or(&why).to_owned())
            })
    }

    /// Reads the files: later ones win over earlier ones, and all over what was inherited.
    pub(super) fn read_files(&mut self, paths: &[PathBuf], directory: Option<&Path>) -> Result<(), Fault> {
        for path in paths {
            // Relative to where segue was started, which it has left.
            let path = directory.map_or_else(|| path.clone(), |directory| directory.join(path));
            let unreadable = |error| Fault::Unreadable {
                path: path.display().to_string(),
                error,
            };
            if fs::metadata(&path).map_err(unreadable)?.is_dir() {
                self.read_directory(&path)?
            } else {
                self.read_dotenv(&path)?
            }
        }
        Ok(())
    }

    /// One variable per file, as Kubernetes mounts a ConfigMap. Names that begin with a dot are its own.
    fn read_directory(&mut self, directory: &Path) -> Result<(), Fault> {
        let unreadable = |error| Fault::Unreadable {
            path: directory.display().to_string(),
            error,
        };
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (name, path) = (entry.file_name(), entry.path());
            let hidden = name.as_bytes().starts_with(b".") || name.as_bytes().contains(&b'=');
            if hidden || !path.is_file() {
                continue;
            }
            let mut value = regular::read(&path, MOST).map_err(|error| Fault::Unreadable {
                path: path.display().to_string(),
                error,
            })?;
            while value.last() == Some(&b'\n') {
                value.pop();
            }
            self.add(name, OsString::from_vec(value), directory)?;
        }
        Ok(())
    }

    fn read_dotenv(&mut self, path: &Path) -> Result<(), Fault> {
        let shown = || path.display().to_string();
        let text = regular::read(path, MOST).map_err(|error| Fault::Unreadable { path: shown(), error })?;
        let (said, wrong): (Vec<_>, Vec<_>) = dotenv::parse(&text).partition(Result::is_ok);
        let wrong: Vec<String> = wrong
            .into_iter()
            .filter_map(Result::err)
            .map(|it| it.to_string())
            .collect();
        if !wrong.is_empty() {
            let lines = wrong.join("; ");
            return Err(Fault::Lines { path: shown(), lines });
        }
        for (name, value) in said.into_iter().flatten() {
            self.add(name.into(), value.into(), path)?;
        }
        Ok(())
    }

    fn add(&mut self, name: OsString, value: OsString, path: &Path) -> Result<(), Fault> {
        if value.as_bytes().contains(&0) {
            return Err(Fault::Nul {
                path: path.display().to_string(),
                name,
            });
        }
        // Checked for each as it is read: a few lines that repeat what is above them would be more than there is memory.
        let longest = longest();
        if name.len().saturating_add(value.len()) > longest {
            return Err(Fault::Long {
                path: path.display().to_string(),
                name,
                longest,
            });
        }
        if name.as_bytes().starts_with(PREFIX.as_bytes()) {
            tracing::warn!(path = %path.display(), ?name, "settings are read from segue's own environment only");
        } else {
            self.0.insert(name, value);
        }
        Ok(())
    }

    /// `NAME=value` each, as execve(2) wants them.
    pub(super) fn entries(&self) -> Vec<CString> {
        let entry = |(name, value): (&OsString, &OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        };
        self.0.iter().filter_map(entry).collect()
    }
}

/// The longest variable, name and value together (MAX_ARG_STRLEN, less the `=` and the zero at its end).
pub fn longest() -> usize {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let page = page.and_then(|it| usize::try_from(it).ok()).unwrap_or(4096);
    page.saturating_mul(32).saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Environment::inherited(&pairs, false, true)
    }

    fn shown(environment: &Environment) -> Vec<String> {
        environment
            .entries()
            .iter()
            .map(|entry| entry.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn settings_and_passed_sockets_stop_here() {
        let all = [
            ("A", "1"),
            ("SEGUE_LOG", "off"),
            ("LISTEN_FDS", "2"),
            ("LISTEN_PIDFDID", "7"),
            ("NOTIFY_SOCKET", "@x"),
        ];
        assert_eq!(shown(&environment(&all)), ["A=1"]);
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        assert_eq!(shown(&Environment::inherited(&all, true, false)).len(), 4);
    }

    #[test]
    fn files_win_over_what_was_inherited_and_are_read_afresh() {
        let directory = tempfile::tempdir().unwrap();
        let dotenv = directory.path().join("app.env");
        let config_map = directory.path().join("map");
        fs::create_dir_all(config_map.join("..data")).unwrap();
        fs::write(config_map.join("COLOUR"), "green\n").unwrap();
        fs::write(&dotenv, "# comment\nCOLOUR=red\nexport QUOTED=\"a b\"\nSEGUE_LOG=off\n").unwrap();
        let mut built = environment(&[("COLOUR", "blue"), ("A", "1")]);
        built.read_files(&["app.env".into()], Some(directory.path())).unwrap();
        assert_eq!(shown(&built), ["A=1", "COLOUR=red", "QUOTED=a b"]);
        built.read_files(&[config_map], None).unwrap();
        assert_eq!(built.get("COLOUR"), Some(OsStr::new("green")));
    }

    #[test]
    fn a_value_that_no_program_can_have_ends_the_reading() {
        let directory = tempfile::tempdir().unwrap();
        let dotenv = directory.path().join("app.env");
        fs::write(&dotenv, format!("A={}\n", "12345678".repeat(longest() / 8 + 1))).unwrap();
        let fault = environment(&[]).read_files(&[dotenv], None).unwrap_err().to_string();
        assert!(
            fault.contains("\"A\" is longer than the ") && fault.len() < 300,
            "{fault}"
        );
        fs::write(directory.path().join("B"), "x".repeat(longest())).unwrap();
        assert!(environment(&[]).read_files(&[directory.path().into()], None).is_err());
    }

    #[test]
    fn a_fault_names_the_place_and_never_the_value() {
        let directory = tempfile::tempdir().unwrap();
        let dotenv = directory.path().join("app.env");
        fs::write(&dotenv, "A=1\n\n# x\nsecret secret\n=secret\n").unwrap();
        let fault = environment(&[]).read_files(&[dotenv], None).unwrap_err().to_string();
        assert!(
            fault.ends_with("app.env: line 4 is no NAME=value; line 5 has no name before the ="),
            "{fault}"
        );
        let missing = environment(&[])
            .read_files(&["/nonexistent".into()], None)
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("SEGUE_ENV_FILES: /nonexistent: No such file"),
            "{missing}"
        );
    }
}
