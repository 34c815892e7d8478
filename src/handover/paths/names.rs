//! DECIDES what a unix socket's name is, and under which hidden name beside it a generation's socket waits for its turn. Pure:
//! bytes in, bytes out, whatever the bytes.

/// The longest name that a `struct sockaddr_un` can hold, with the zero after it that some programs count on.
pub const LONGEST: usize = 107;
/// Where the name begins in a `struct sockaddr_un`, after the family.
const FAMILY: usize = 2;
/// Digits of a name that the kernel chooses (autobind in unix(7)).
const CHOSEN: usize = 5;

/// What a unix socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A path, as its program said it.
    Path(Vec<u8>),
    /// An abstract name, without the zero that it begins with.
    Abstract(Vec<u8>),
    /// Nothing, or an abstract name of the kernel's choice.
    Nothing,
}

/// The name in an address (as many bytes as a call says it has); `None`: it is no unix socket's.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Name> {
    let (family, name) = bytes.split_at_checked(FAMILY)?;
    let family = u16::from_ne_bytes(family.try_into().ok()?);
    (i32::from(family) == libc::AF_UNIX).then(|| match name {
        [] => Name::Nothing,
        [0, chosen @ ..] if chosen.len() == CHOSEN && chosen.iter().all(u8::is_ascii_hexdigit) => Name::Nothing,
        [0, name @ ..] => Name::Abstract(name.to_vec()),
        path => Name::Path(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
    })
}

/// The address of a path, as bind(2) takes it; `None`: it is too long.
#[must_use]
pub fn address(path: &[u8]) -> Option<Vec<u8>> {
    let family = u16::try_from(libc::AF_UNIX).ok()?.to_ne_bytes();
    let fits = !path.is_empty() && path.len() <= LONGEST && !path.contains(&0);
    fits.then(|| family.into_iter().chain(path.iter().copied()).chain([0]).collect())
}

/// The directory of a path, and the name in it; `None`: the path names no entry of a directory.
#[must_use]
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => path.split_at_checked(at + 1)?,
        None => (&b"."[..], path),
    };
    (!name.is_empty() && name != b"." && name != b"..").then_some((directory, name))
}

/// Hidden names for the socket of this generation that is to be `name`, in the same directory: the first one that fits.
#[must_use]
pub fn hidden(name: &[u8], generation: u64) -> [Vec<u8>; 2] {
    let long = [b".", name, format!(".segue-{generation}").as_bytes()].concat();
    // FNV-1a: enough to keep a few names of one directory apart.
    let hash = name.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    [long, format!(".{hash:08x}.{generation}").into_bytes()]
}

/// Where the program is to bind its socket instead of at this path, and the hidden name in that; `None`: no such name is short enough.
#[must_use]
pub fn beside(path: &[u8], generation: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    let (directory, name) = split(path)?;
    let directory = if path.contains(&b'/') { directory } else { b"" };
    let fits = hidden(name, generation)
        .into_iter()
        .find(|it| directory.len() + it.len() <= LONGEST)?;
    Some(([directory, &fits].concat(), fits))
}

/// Is the number of one of these processes part of the name? Then the next generation will use another one.
#[must_use]
pub fn tells_process(name: &[u8], processes: &[i32]) -> bool {
    let mut runs = name.split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.any(|run| {
        let number = std::str::from_utf8(run).ok().and_then(|run| run.parse::<i32>().ok());
        number.is_some_and(|number| processes.contains(&number))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unix(rest: &[u8]) -> Vec<u8> {
        [&1_u16.to_ne_bytes()[..], rest].concat()
    }

    #[test]
    fn what_an_address_names() {
        let path = |text: &str| Some(Name::Path(text.into()));
        assert_eq!(parse(&unix(b"/run/a.sock")), path("/run/a.sock"));
        assert_eq!(parse(&unix(b"a\0garbage")), path("a"));
        assert_eq!(parse(&unix(b"")), Some(Name::Nothing));
        assert_eq!(parse(&unix(b"\x000a1b2")), Some(Name::Nothing));
        assert_eq!(parse(&unix(b"\0name")), Some(Name::Abstract(b"name".to_vec())));
        assert_eq!(parse(&[2, 0, 0, 80, 127, 0, 0, 1]), None);
        assert_eq!(parse(&[1]), None);
    }

    #[test]
    fn what_a_path_names() {
        assert_eq!(split(b"/run/a"), Some((&b"/run/"[..], &b"a"[..])));
        assert_eq!(split(b"/a"), Some((&b"/"[..], &b"a"[..])));
        assert_eq!(split(b"a"), Some((&b"."[..], &b"a"[..])));
        for none in ["", "/", "/run/", ".", "/run/..", "a/."] {
            assert_eq!(split(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn names_beside() {
        let text = |path: &str| String::from_utf8(beside(path.as_bytes(), 2).unwrap().0).unwrap();
        assert_eq!(text("/run/app.sock"), "/run/.app.sock.segue-2");
        assert_eq!(text("app.sock"), ".app.sock.segue-2");
        let long = format!("/{}/app.sock", "d".repeat(90));
        assert_eq!(text(&long).len(), 92 + ".12345678.2".len());
        assert_eq!(beside(format!("/{}/app", "d".repeat(100)).as_bytes(), 2), None);
    }

    #[test]
    fn processes_in_names() {
        let tells = |name: &str| tells_process(name.as_bytes(), &[7, 22821]);
        assert!(tells("ha.sock.22821.tmp") && tells(".java_pid22821") && tells("dotnet-diagnostic-22821-99-socket"));
        assert!(tells("7") && !tells("77") && !tells("app.sock") && !tells("") && !tells("99999999999999999999"));
    }

    proptest! {
        #[test]
        fn an_address_is_read_back(path in proptest::collection::vec(1_u8.., 1..=LONGEST)) {
            prop_assert_eq!(parse(&address(&path).unwrap()), Some(Name::Path(path)));
        }

        #[test]
        fn a_hidden_name_fits_stays_in_its_directory_and_is_one_generation_s(
            path in proptest::collection::vec(1_u8.., 0..120), generation: u64, other: u64,
        ) {
            if let Some((whole, name)) = beside(&path, generation) {
                let (directory, own) = split(&path).unwrap();
                prop_assert!(address(&whole).is_some() && name.starts_with(b".") && name != own);
                prop_assert_eq!(split(&whole), Some((directory, &name[..])));
                let others = beside(&path, other).map(|it| it.1);
                prop_assert!(other == generation || others != Some(name));
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            drop(parse(&bytes));
            prop_assert!(split(&bytes).is_none_or(|(_, name)| bytes.ends_with(name)));
        }
    }
}
