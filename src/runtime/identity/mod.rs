//! DECIDES as whom the program runs: `SEGUE_USER` and `SEGUE_SUPPLEMENTARY_GROUPS`, by the passwd and group files of the image. A static
//! binary has no name service, so that these files are all there is, as for Docker's own `--user`. Never root by accident: what
//! cannot be found is an error.

mod files;
#[cfg(test)]
mod tests;

use std::{io, path::Path};

use nix::unistd::{geteuid, getgid, getgroups, getuid};

use crate::{
    process::{identity::Identity, regular, status},
    settings::value::{Account, Groups, User},
};

/// The longest passwd or group file that is read, in bytes.
const MOST: usize = 16 << 20;
/// CAP_SETGID and CAP_SETUID of capabilities(7).
const SETGID: u32 = 6;
const SETUID: u32 = 7;

/// What becomes of a process that is to run as this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It becomes that user, whose HOME this is; a note, if there is something to know about it.
    Become(Identity, String, Option<String>),
    /// Segue is that user already, or another one that is not root, whom the engine has chosen: with a note then.
    Stay(Option<String>),
}

/// Segue itself, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    user: u32,
    group: u32,
    groups: Vec<u32>,
    may_set_user: bool,
    may_set_group: bool,
    /// /proc/self/uid_map and gid_map.
    user_map: String,
    group_map: String,
}

/// The passwd and the group file; empty where there is none.
#[derive(Debug, Default)]
struct Files {
    passwd: String,
    group: String,
}

/// Looks at the files and at segue's own privileges, afresh.
///
/// # Errors
///
/// Says what cannot be found or is not permitted, and what would help.
pub(crate) fn decide(wanted: &User, groups: Option<&Groups>) -> Result<Decision, String> {
    let read = |path: &str| match regular::read(Path::new(path), MOST) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    };
    let files = Files {
        passwd: read("/etc/passwd")?,
        group: read("/etc/group")?,
    };
    let status = i32::try_from(std::process::id()).ok().and_then(status::of);
    let may = |capability| status.map_or(geteuid().is_root(), |status| status.can(capability));
    let map = |name| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let own = Own {
        user: getuid().as_raw(),
        group: getgid().as_raw(),
        groups: getgroups()
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|it| it.as_raw())
            .collect(),
        may_set_user: may(SETUID),
        may_set_group: may(SETGID),
        user_map: map("uid_map"),
        group_map: map("gid_map"),
    };
    choose(wanted, groups, &own, &files)
}

fn choose(wanted: &User, groups: Option<&Groups>, own: &Own, files: &Files) -> Result<Decision, String> {
    let entry = files::user(&files.passwd, &wanted.user)?;
    let number = |group: &Account| match group {
        Account::Id(number) => Ok(*number),
        Account::Name(name) => {
            files::group(&files.group, name)?.ok_or_else(|| format!("there is no group {name:?} in /etc/group"))
        }
    };
    let user = match (&entry, &wanted.user) {
        (Some(entry), _) => entry.user,
        (None, Account::Id(number)) => *number,
        (None, Account::Name(name)) => return Err(format!("there is no user {name:?} in /etc/passwd")),
    };
    let group = match &wanted.group {
        Some(group) => number(group)?,
        None => entry.as_ref().map_or(0, |entry| entry.group),
    };
    let listed = groups
        .map(|it| it.0.iter().map(number).collect::<Result<Vec<u32>, String>>())
        .transpose()?;
    if own.user != 0 {
        let is_it = own.user == user && (wanted.group.is_none() || own.group == group);
        let note = format!(
            "started as user {} and not as root, so the program stays user {}",
            own.user, own.user
        );
        return Ok(Decision::Stay((!is_it).then_some(note)));
    }
    let groups = match listed {
        Some(groups) => groups,
        None => {
            let mut groups = of_the_engine(own, files);
            if wanted.group.is_none()
                && let Some(entry) = &entry
            {
                groups.extend(files::groups_of(&files.group, &entry.name));
            }
            groups
        }
    };
    let mut unique = Vec::new();
    for id in groups {
        if !unique.contains(&id) {
            unique.push(id);
        }
    }
    permitted(own, user, group, &unique)?;
    let home = entry
        .as_ref()
        .map(|entry| entry.home.clone())
        .filter(|home| home.starts_with('/'));
    let note = entry
        .is_none()
        .then(|| format!("user {user} is not in /etc/passwd: its group is {group}, its HOME is /"));
    let home = home.unwrap_or_else(|| "/".to_owned());
    let groups = unique;
    Ok(Decision::Become(Identity { user, group, groups }, home, note))
}

/// Groups that the container's engine has added (`--group-add`, fsGroup), and not those that segue's own user has by the group file.
fn of_the_engine(own: &Own, files: &Files) -> Vec<u32> {
    let entry = files::user(&files.passwd, &Account::Id(own.user)).ok().flatten();
    let mut of_own = vec![own.group];
    if let Some(entry) = entry {
        of_own.push(entry.group);
        of_own.extend(files::groups_of(&files.group, &entry.name));
    }
    own.groups.iter().copied().filter(|id| !of_own.contains(id)).collect()
}

/// Root may not always: a container can have lost the capabilities, a user namespace may have one user only.
fn permitted(own: &Own, user: u32, group: u32, groups: &[u32]) -> Result<(), String> {
    let missing = match (own.may_set_user, own.may_set_group) {
        (true, true) => None,
        (false, true) => Some("SETUID is"),
        (true, false) => Some("SETGID is"),
        (false, false) => Some("SETUID and SETGID are"),
    };
    let is_it = own.user == user && own.group == group && own.groups == groups;
    if let Some(missing) = missing.filter(|_| !is_it) {
        return Err(format!(
            "{missing} missing among segue's capabilities; add them (cap_add), or start the container as that user"
        ));
    }
    if !is_mapped(&own.user_map, user) {
        return Err(format!(
            "user {user} is not mapped in this user namespace (/proc/self/uid_map)"
        ));
    }
    let unmapped = std::iter::once(&group)
        .chain(groups)
        .find(|id| !is_mapped(&own.group_map, **id));
    unmapped.map_or(Ok(()), |id| {
        Err(format!(
            "group {id} is not mapped in this user namespace (/proc/self/gid_map)"
        ))
    })
}

/// Lines of `INSIDE OUTSIDE COUNT` (user_namespaces(7)); a map that cannot be read forbids nothing.
fn is_mapped(map: &str, id: u32) -> bool {
    let mut ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map_while(|it| it.parse::<u64>().ok());
        let (first, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(first..first.saturating_add(count))
    });
    map.is_empty() || ranges.any(|range| range.contains(&id.into()))
}
