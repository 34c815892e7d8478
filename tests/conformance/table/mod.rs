//! The cases: families and protocols, with each option, with each way to share a socket, in each order of calls.

mod confined;
mod datagrams;
mod identities;
mod options;
mod orders;
mod unix;

use crate::script::Case;

/// A kind of socket, and addresses of its own.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// `socket NAME` and this makes one; `SOCKET` is its letter.
    family: &'static str,
    protocol: u16,
    /// Set before anything else.
    first: &'static str,
    /// What it is bound to.
    pub address: &'static str,
    /// Where a client finds it.
    pub client: &'static str,
}

/// Multipath TCP, on which Go's servers listen.
const MPTCP: u16 = 262;

/// TCP in all its families.
pub const TCP: [Kind; 5] = [
    Kind::new("inet", "inet", "", "127.0.0.1", "127.0.0.1"),
    Kind::new("inet any", "inet", "", "0.0.0.0", "127.0.0.1"),
    Kind::new("inet6", "inet6", "", "::1", "::1"),
    Kind::new("inet6 only", "inet6", "IPV6_V6ONLY 1", "::", "::1"),
    Kind::new("inet6 dual", "inet6", "IPV6_V6ONLY 0", "::", "127.0.0.1"),
];

impl Kind {
    const fn new(
        name: &'static str,
        family: &'static str,
        first: &'static str,
        address: &'static str,
        client: &'static str,
    ) -> Kind {
        Kind {
            name,
            family,
            protocol: 0,
            first,
            address,
            client,
        }
    }

    /// The same by Multipath TCP.
    const fn multipath(self) -> Kind {
        Kind {
            protocol: MPTCP,
            ..self
        }
    }

    pub fn is_multipath(&self) -> bool {
        self.protocol == MPTCP
    }

    /// The lines that make one.
    pub fn make(&self, letter: char) -> String {
        let made = format!("socket {letter} {} stream {}", self.family, self.protocol);
        if self.first.is_empty() {
            made
        } else {
            format!("{made}\nset {letter} {}", self.first)
        }
    }

    pub fn name(&self) -> String {
        let protocol = if self.is_multipath() { "mptcp" } else { "tcp" };
        format!("{protocol} {}", self.name)
    }

    /// Puts a case together: `MAKE x` makes a socket, `HERE` is its address, `THERE` where clients find it.
    pub fn case(&self, what: &str, text: &str) -> Case {
        let text = text.replace("THERE", self.client).replace("HERE", self.address);
        let lines: Vec<String> = text.lines().map(|line| self.line(line)).collect();
        Case::new(format!("{}, {what}", self.name()), &lines.join("\n"))
    }

    fn line(&self, line: &str) -> String {
        let line = line.trim();
        match line.strip_prefix("MAKE ").and_then(|rest| rest.chars().next()) {
            Some(letter) => self.make(letter),
            None => line.to_owned(),
        }
    }
}

/// TCP and Multipath TCP.
pub fn kinds() -> Vec<Kind> {
    TCP.into_iter().flat_map(|kind| [kind, kind.multipath()]).collect()
}

/// A few of each.
pub fn few() -> Vec<Kind> {
    vec![TCP[0], TCP[0].multipath(), TCP[4]]
}

/// Every case of these kinds.
pub fn all(kinds: &[Kind]) -> Vec<Case> {
    let parts = [
        options::cases(kinds),
        identities::cases(kinds),
        orders::cases(kinds),
        unix::cases(),
        datagrams::cases(false),
        confined::cases(kinds),
    ];
    parts.into_iter().flatten().collect()
}

pub use confined::cases as confined;
pub use datagrams::cases as datagrams;
pub use identities::cases as identities;
pub use options::cases as options;
pub use orders::cases as orders;
pub use unix::cases as unix;
