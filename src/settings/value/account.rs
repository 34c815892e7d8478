//! Users and groups, by name or by number. A number is never a name: an image whose passwd file has a user called 1000 must not
//! decide whom 1000 means.

use std::fmt;

use super::{Reason, Value, item};

/// The largest number of a user or a group, as Docker has it.
const MOST: u32 = i32::MAX as u32;

/// A user, or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// As the passwd or the group file calls it.
    Name(String),
    /// Its number.
    Id(u32),
}

/// Who the program runs as: `SEGUE_USER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub user: Account,
    /// The group, if it is not the user's own.
    pub group: Option<Account>,
}

/// The groups that a process has beside its own: `SEGUE_SUPPLEMENTARY_GROUPS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(pub Vec<Account>);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Name(name) => write!(f, "{name:?}"),
            Account::Id(number) => number.fmt(f),
        }
    }
}

impl Account {
    fn parse(text: &str, what: &str) -> Result<Account, Reason> {
        if text.is_empty() {
            return Err(format!("no {what} in it, give a name or a number such as 1000").into());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().filter(|number| *number <= MOST);
            let number = number.ok_or_else(|| format!("{} is too large for a {what}, at most {MOST}", item(text)));
            return Ok(Account::Id(number?));
        }
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, ':' | ',' | '/');
        if text.starts_with(['-', '+']) || text.contains(odd) {
            return Err(format!(
                "{} is neither the name of a {what} nor a number such as 1000",
                item(text)
            )
            .into());
        }
        Ok(Account::Name(text.to_owned()))
    }
}

impl Value for User {
    const ACCEPTS: &'static str = "`user` or `uid`, with `:group` or `:gid`";

    fn parse(text: &str) -> Result<Self, Reason> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(Account::parse(group, "group")?)),
            None => (text, None),
        };
        let user = Account::parse(user, "user")?;
        Ok(User { user, group })
    }
}

impl Value for Groups {
    const ACCEPTS: &'static str = "list of group names or gids, `none`";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text == "none" {
            return Ok(Groups(Vec::new()));
        }
        let items = text.split(',').map(|part| Account::parse(part.trim(), "group"));
        Ok(Groups(items.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_by_number() {
        let name = |name: &str| Account::Name(name.into());
        for (text, user, group) in [
            ("app", name("app"), None),
            ("1000", Account::Id(1000), None),
            ("0", Account::Id(0), None),
            ("app:adm", name("app"), Some(name("adm"))),
            ("1000:0", Account::Id(1000), Some(Account::Id(0))),
            ("01000", Account::Id(1000), None),
            ("0x10", name("0x10"), None),
        ] {
            assert_eq!(User::parse(text).unwrap(), User { user, group }, "{text}");
        }
    }

    #[test]
    fn no_users() {
        for text in [
            "",
            ":",
            ":adm",
            "app:",
            "+5",
            "-1",
            "2147483648",
            "a b",
            "a:b:c",
            "a,b",
            "4294967296",
        ] {
            User::parse(text).unwrap_err();
        }
    }

    #[test]
    fn groups() {
        assert_eq!(Groups::parse("none").unwrap(), Groups(Vec::new()));
        let both = Groups(vec![Account::Name("adm".into()), Account::Id(44)]);
        assert_eq!(Groups::parse("adm, 44").unwrap(), both);
        for text in ["", "adm,,x", "adm,", "-1"] {
            Groups::parse(text).unwrap_err();
        }
    }
}
