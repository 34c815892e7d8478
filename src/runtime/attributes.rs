//! COLLECTS what the settings say about processes of the program: who they are, where they begin, their limits and priorities.

use std::{ffi::CString, os::unix::ffi::OsStringExt};

use super::{
    Supervisor,
    boot::BAD_SETTINGS,
    environment::Environment,
    identity::{self, Decision},
};
use crate::{
    machine::Fault,
    process::{
        attribute::{Attribute, Change},
        identity::Identity,
        spawn::{ExecFault, Step},
    },
    settings::{Settings, value::Limit},
};

/// In the order in which they are set.
pub(super) fn of(settings: &Settings) -> Vec<Attribute> {
    let limits = [
        ("SEGUE_LIMIT_NOFILE", settings.limit_nofile, libc::RLIMIT_NOFILE),
        ("SEGUE_LIMIT_CORE", settings.limit_core, libc::RLIMIT_CORE),
        ("SEGUE_LIMIT_NPROC", settings.limit_nproc, libc::RLIMIT_NPROC),
        ("SEGUE_LIMIT_MEMLOCK", settings.limit_memlock, libc::RLIMIT_MEMLOCK),
        ("SEGUE_LIMIT_STACK", settings.limit_stack, libc::RLIMIT_STACK),
    ];
    let score = settings
        .oom_score_adjust
        .map(|score| Change::OomScore(score.0.to_string()));
    let nice = settings.nice.map(|nice| Change::Nice(nice.0));
    let umask = settings.umask.map(|mask| Change::Umask(mask.0));
    let others = [
        ("SEGUE_OOM_SCORE_ADJUST", score),
        ("SEGUE_NICE", nice),
        ("SEGUE_UMASK", umask),
    ];
    let limits = limits.into_iter().filter_map(|(setting, limit, resource)| {
        let Limit { soft, hard } = limit?;
        let change = Change::Limit(resource, soft, hard);
        Some(Attribute { setting, change })
    });
    let others = others.into_iter().filter_map(|(setting, change)| {
        Some(Attribute {
            setting,
            change: change?,
        })
    });
    // The score is written to a file, which a limit on files could forbid.
    others.chain(limits).collect()
}

impl Supervisor {
    /// Who the program is to be, looked up afresh, with its HOME; `None`: who segue is.
    pub(super) fn identity(&self) -> Result<Option<(Identity, String)>, Fault> {
        let Some(user) = &self.settings.user else {
            return Ok(None);
        };
        match identity::decide(user, self.settings.supplementary_groups.as_ref()) {
            Ok(Decision::Become(identity, home, _)) => Ok(Some((identity, home))),
            Ok(Decision::Stay(_)) => Ok(None),
            Err(why) => Err(Fault {
                code: BAD_SETTINGS,
                reason: format!("SEGUE_USER: {why}"),
            }),
        }
    }

    /// Where it begins: where segue was started, or where the setting says, relative to that.
    pub(super) fn working_directory(&self, environment: &Environment) -> Option<CString> {
        let path = self.settings.working_directory.as_ref()?;
        let home = environment.get("HOME").unwrap_or("/".as_ref());
        let path = path
            .strip_prefix("~")
            .map_or_else(|_| path.clone(), |rest| std::path::Path::new(home).join(rest));
        CString::new(path.into_os_string().into_vec()).ok()
    }

    /// Why a process could not become what the settings say, if that is why.
    pub(super) fn fault_of_a_setting(&self, fault: ExecFault) -> Option<Fault> {
        let error = nix::Error::from_raw(fault.errno).desc();
        let reason = match fault.step {
            Step::Attribute => {
                let attribute = self.attributes.get(usize::from(fault.index))?;
                format!("{}: {error}{}", attribute.setting, attribute.privilege())
            }
            Step::User => format!("SEGUE_USER: cannot become that user: {error}"),
            Step::OwnDirectory => {
                let path = self.settings.working_directory.as_ref()?.display().to_string();
                format!("SEGUE_WORKING_DIRECTORY={path:?}: the program's user cannot enter it: {error}")
            }
            Step::Directory | Step::Files | Step::Exec | Step::Trap => return None,
        };
        Some(Fault {
            code: BAD_SETTINGS,
            reason,
        })
    }
}
