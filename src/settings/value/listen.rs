//! An address to bind, with the name under which the program finds it among its inherited sockets.

use super::{Address, Reason, Value};

/// The longest name that sd_listen_fds_with_names(3) allows.
const NAME_MAX: usize = 255;

/// One item of `SEGUE_LISTEN`: `ADDRESS` or `name=ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What `LISTEN_FDNAMES` calls it: printable ASCII without a colon.
    pub name: Option<String>,
    /// Where it listens; its port is never 0.
    pub address: Address,
}

impl Value for Listen {
    const ACCEPTS: &'static str = "`ADDRESS` or `name=ADDRESS`";
    const LIST: &'static str = "list of `ADDRESS` or `name=ADDRESS`";

    fn parse(text: &str) -> Result<Self, Reason> {
        // A name has no colon and every address has one, so an equals sign after a colon belongs to a path.
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if !name.contains(':') => (Some(name.trim()), address.trim()),
            _ => (None, text),
        };
        if let Some(name) = name {
            let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if name.is_empty() || name.len() > NAME_MAX || !printable {
                return Err(format!("a name is 1 to {NAME_MAX} printable ASCII characters, such as web=:8080").into());
            }
        }
        Ok(Listen {
            name: name.map(str::to_owned),
            address: Address::parse(address)?,
        })
    }

    fn together(items: &[Self]) -> Result<(), Reason> {
        for (index, item) in items.iter().enumerate() {
            if items.iter().take(index).any(|earlier| earlier.address == item.address) {
                return Err(format!("{} is there twice", item.address).into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, address: Address) -> Listen {
        Listen {
            name: Some(name.to_owned()),
            address,
        }
    }

    #[test]
    fn an_address_may_have_a_name() {
        let unix = Address::Unix("/run/a=b".into());
        assert_eq!(Listen::parse("web = :80"), Ok(named("web", Address::AnyInterface(80))));
        assert_eq!(Listen::parse("a=unix:/run/a=b"), Ok(named("a", unix.clone())));
        assert_eq!(
            Listen::parse("unix:/run/a=b"),
            Ok(Listen {
                name: None,
                address: unix
            })
        );
    }

    #[test]
    fn names_follow_the_protocol() {
        Listen::parse(&format!("{}=:80", "a".repeat(255))).unwrap();
        for text in [
            "=:80",
            "é=:80",
            "a\nb=:80",
            &format!("{}=:80", "a".repeat(256)),
            "web=",
            "web=:0",
            "a:b=:80",
        ] {
            Listen::parse(text).unwrap_err();
        }
    }

    #[test]
    fn an_address_is_bound_once() {
        Vec::<Listen>::parse("a=:80,a=:81").unwrap();
        let reason = Vec::<Listen>::parse("a=:80,b=:80").unwrap_err().to_string();
        assert_eq!(reason, ":80 is there twice");
    }
}
