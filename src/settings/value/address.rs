//! Where to listen or connect, in numbers: a static binary has no name service, so no name but `localhost` is known.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::{Reason, Value};

/// What fits into `sockaddr_un` (unix(7)) with its closing zero.
pub(super) const UNIX_PATH_MAX: usize = 107;

/// An address to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `IP:PORT` or `[IP6]:PORT`.
    Tcp(SocketAddr),
    /// `:PORT`, all interfaces, IPv4 and IPv6.
    AnyInterface(u16),
    /// `localhost:PORT`, 127.0.0.1 and `::1`.
    Localhost(u16),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    /// Its port, if it has any.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::AnyInterface(port) | Address::Localhost(port) => Some(*port),
            Address::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        if let Ok(address) = text.parse() {
            return Ok(Address::Tcp(address));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("a port needs a colon before it, such as :8080 for all interfaces".into());
        }
        if text.starts_with('/') {
            return Err("a socket file needs unix: before its path, such as unix:/run/app.sock".into());
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Err(format!("an IPv6 address needs brackets and a port, such as [{ip}]:8080").into());
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("not an address, give IP:PORT, [IP6]:PORT, :PORT or unix:/path".into());
        };
        let number = port
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| port.parse().ok())
            .flatten();
        let Some(port) = number else {
            return Err("not a port, give a number from 1 to 65535 after the last colon".into());
        };
        match host {
            "" => Ok(Address::AnyInterface(port)),
            "*" => Err(format!("for all interfaces give :{port}").into()),
            _ if host.eq_ignore_ascii_case("localhost") => Ok(Address::Localhost(port)),
            _ if host.parse::<Ipv6Addr>().is_ok() => Err(format!("did you mean [{host}]:{port}?").into()),
            _ if host.contains(['/', '[', ']', ':', '@']) || host.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                Err("not an address, give IP:PORT, [IP6]:PORT, :PORT or unix:/path".into())
            }
            _ => Err(
                "names are not looked up, for a static binary has no name service; give a number such as \
                      10.0.0.1:8080, or localhost"
                    .into(),
            ),
        }
    }
}

fn unix(path: &str) -> Result<Address, Reason> {
    if path.starts_with('@') {
        return Err("abstract sockets are not supported, give a path such as unix:/run/app.sock".into());
    }
    if !path.starts_with('/') {
        return Err("the path of a socket must be absolute, such as unix:/run/app.sock".into());
    }
    if path.len() > UNIX_PATH_MAX {
        return Err(format!(
            "the path of a socket has at most {UNIX_PATH_MAX} bytes, this one {}",
            path.len()
        )
        .into());
    }
    PathBuf::parse(path).map(Address::Unix)
}

/// Refuses port 0, which nobody could find afterwards.
impl Value for Address {
    const ACCEPTS: &'static str = "address";
    const LIST: &'static str = "list of addresses";

    fn parse(text: &str) -> Result<Self, Reason> {
        let address: Address = text.parse()?;
        if address.port() == Some(0) {
            return Err("port 0 is any free port, which nobody would find; give a number from 1 to 65535".into());
        }
        Ok(address)
    }

    fn together(items: &[Self]) -> Result<(), Reason> {
        for (index, item) in items.iter().enumerate() {
            if items.iter().take(index).any(|earlier| earlier == item) {
                return Err(format!("{item} is there twice").into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::AnyInterface(port) => write!(f, ":{port}"),
            Address::Localhost(port) => write!(f, "localhost:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The address of the admin endpoint: `SEGUE_ADMIN`. Port 0 is any free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// There is none.
    Off,
    /// It listens here.
    At(Address),
}

impl Value for Admin {
    const ACCEPTS: &'static str = "address, `off`";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text == "off" {
            Ok(Admin::Off)
        } else {
            match text.parse()? {
                Address::Unix(_) => Err("it is HTTP over TCP, give IP:PORT, [IP6]:PORT or :PORT".into()),
                address @ (Address::Tcp(_) | Address::AnyInterface(_) | Address::Localhost(_)) => {
                    Ok(Admin::At(address))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses() {
        for (text, address) in [
            ("127.0.0.1:80", Address::Tcp(([127, 0, 0, 1], 80).into())),
            ("[::1]:80", Address::Tcp((Ipv6Addr::LOCALHOST, 80).into())),
            (":80", Address::AnyInterface(80)),
            ("LOCALHOST:80", Address::Localhost(80)),
            ("unix:/run/a=b.sock", Address::Unix("/run/a=b.sock".into())),
        ] {
            assert_eq!(Address::parse(text), Ok(address), "{text}");
        }
    }

    #[test]
    fn each_slip_is_told_what_would_be_right() {
        for (text, why) in [
            ("", "not an address"),
            ("80", "a colon before it"),
            (":http", "not a port"),
            (":+80", "not a port"),
            (":", "not a port"),
            (":65536", "not a port"),
            (":0", "port 0"),
            ("[::1]:0", "port 0"),
            ("*:80", "give :80"),
            ("::1", "brackets"),
            ("fe80::1:2:3:4:5:6:80", "did you mean [fe80::1:2:3:4:5:6]:80?"),
            ("1.2.3:80", "not an address"),
            ("http://1.2.3.4:80", "not an address"),
            ("db:5432", "no name service"),
            ("/run/a.sock", "unix:"),
            ("unix:a.sock", "absolute"),
            ("unix:@name", "abstract"),
            ("unix:/a\0b", "zero byte"),
        ] {
            let reason = Address::parse(text).unwrap_err().to_string();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }

    #[test]
    fn a_socket_path_has_a_longest_length() {
        let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
        Address::parse(&path(107)).unwrap();
        Address::parse(&path(108)).unwrap_err();
    }

    #[test]
    fn the_admin_endpoint_may_take_any_port() {
        assert_eq!(Admin::parse("off"), Ok(Admin::Off));
        assert_eq!(Admin::parse(":0"), Ok(Admin::At(Address::AnyInterface(0))));
        Admin::parse("no").unwrap_err();
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ip: IpAddr, port in 1..=u16::MAX, path in "/[ -~]{0,106}") {
            for address in [
                Address::Tcp((ip, port).into()),
                Address::AnyInterface(port),
                Address::Localhost(port),
                Address::Unix(path.into()),
            ] {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
