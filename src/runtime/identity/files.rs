//! READS passwd(5) and group(5), as text that is given. Pure. Only the lines that count must be right.

use crate::settings::value::Account;

/// A line of the passwd file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) home: String,
}

/// The user's line, the first if there are several; `None`: there is none.
pub(super) fn user(passwd: &str, wanted: &Account) -> Result<Option<Entry>, String> {
    for (index, line) in passwd.lines().enumerate() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, user, group, _, home, ..] = fields.as_slice() else {
            continue;
        };
        let is_wanted = match wanted {
            Account::Name(wanted) => wanted == name,
            Account::Id(wanted) => number(user) == Some(*wanted),
        };
        if !is_wanted {
            continue;
        }
        let (Some(user), Some(group)) = (number(user), number(group)) else {
            let line = index + 1;
            return Err(format!(
                "line {line} of /etc/passwd ({name}) has no numbers for user and group"
            ));
        };
        let (name, home) = ((*name).to_owned(), (*home).to_owned());
        return Ok(Some(Entry {
            name,
            user,
            group,
            home,
        }));
    }
    Ok(None)
}

/// The number of the group with this name; `None`: there is none.
pub(super) fn group(groups: &str, wanted: &str) -> Result<Option<u32>, String> {
    for (index, line) in groups.lines().enumerate() {
        let mut fields = line.split(':');
        if fields.next() == Some(wanted) {
            let id = fields.nth(1).and_then(number);
            let line = index + 1;
            return id
                .map(Some)
                .ok_or_else(|| format!("line {line} of /etc/group ({wanted}) has no number"));
        }
    }
    Ok(None)
}

/// The groups in which the user is listed.
pub(super) fn groups_of(groups: &str, name: &str) -> Vec<u32> {
    let listed = groups.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, id, members, ..] = fields.as_slice() else {
            return None;
        };
        members.split(',').any(|it| it.trim() == name).then(|| number(id))?
    });
    listed.collect()
}

/// Digits and nothing else: a sign, a blank or an empty field would be 0 to others.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
