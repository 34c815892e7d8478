//! WRITES a notice as bytes, and reads it: fields that end with a zero, and one empty field at the end. Pure.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use super::{Changes, Notice, Watching, changes::Kind};

/// A notice as bytes.
#[must_use]
pub fn encode(notice: &Notice) -> Vec<u8> {
    let (first, paths): (Vec<String>, &[PathBuf]) = match notice {
        Notice::Changed(changes) => {
            let kind = match changes.kind {
                Some(Kind::Added) => "added",
                Some(Kind::Removed) => "removed",
                Some(Kind::Changed) | None => "changed",
            };
            (vec![kind.into(), changes.count.to_string()], &changes.paths)
        }
        Notice::State(it) => {
            let why = format!("-{}", it.why.as_deref().unwrap_or_default());
            let numbers = [it.files.to_string(), it.directories.to_string()];
            let first = ["state".to_owned(), format!("-{}", it.backend), why];
            (first.into_iter().chain(numbers).collect(), &it.missing)
        }
        Notice::Silent(silent) => (vec![if *silent { "silent" } else { "heard" }.into()], &[]),
        Notice::Ended => (vec!["ended".into()], &[]),
    };
    let first = first.iter().map(|it| it.as_bytes());
    let fields = first.chain(paths.iter().map(|it| it.as_os_str().as_bytes()));
    let mut bytes: Vec<u8> = fields.flat_map(|field| field.iter().copied().chain([0])).collect();
    bytes.push(0);
    bytes
}

/// Takes the first notice out of what has come, once all of it has; what is none is dropped.
pub fn decode(bytes: &mut Vec<u8>) -> Option<Notice> {
    loop {
        let end = bytes.windows(2).position(|it| it == [0, 0])?;
        let rest = bytes.split_off(end + 2);
        let record = std::mem::replace(bytes, rest);
        let fields: Vec<&[u8]> = record.get(..end)?.split(|it| *it == 0).collect();
        if let Some(notice) = notice(&fields) {
            return Some(notice);
        }
    }
}

fn notice(fields: &[&[u8]]) -> Option<Notice> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let number = |bytes: &[u8]| text(bytes).parse::<usize>().ok();
    let paths = |fields: &[&[u8]]| fields.iter().map(|it| OsString::from_vec(it.to_vec()).into()).collect();
    let tail = |bytes: &[u8]| text(bytes.get(1..).unwrap_or_default());
    let kind = match fields {
        [b"silent"] => return Some(Notice::Silent(true)),
        [b"heard"] => return Some(Notice::Silent(false)),
        [b"ended"] => return Some(Notice::Ended),
        [b"state", backend, why, files, directories, missing @ ..] => {
            return Some(Notice::State(Watching {
                backend: tail(backend),
                why: Some(tail(why)).filter(|why| !why.is_empty()),
                files: number(files)?,
                directories: number(directories)?,
                missing: paths(missing),
            }));
        }
        [b"added", ..] => Kind::Added,
        [b"changed", ..] => Kind::Changed,
        [b"removed", ..] => Kind::Removed,
        _ => return None,
    };
    let [_, count, changed @ ..] = fields else { return None };
    Some(Notice::Changed(Changes {
        paths: paths(changed),
        count: number(count)?,
        kind: Some(kind),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut changes = Changes::default();
        changes.add("a b\nc".into(), Kind::Added);
        changes.add("d".into(), Kind::Removed);
        changes.count = 5_000;
        let state = Watching {
            backend: "poll".into(),
            why: Some("why".into()),
            files: 3,
            directories: 0,
            missing: vec!["x".into()],
        };
        let notices = [
            Notice::State(Watching::default()),
            Notice::Changed(changes),
            Notice::State(state),
            Notice::Silent(true),
            Notice::Silent(false),
            Notice::Ended,
        ];
        let mut bytes: Vec<u8> = notices.iter().flat_map(encode).collect();
        let last = bytes.pop().unwrap();
        for notice in &notices[..5] {
            assert_eq!(decode(&mut bytes).as_ref(), Some(notice));
        }
        assert_eq!(decode(&mut bytes), None, "half of one");
        bytes.push(last);
        assert_eq!(decode(&mut bytes), Some(Notice::Ended));
        assert_eq!(bytes, b"");
        bytes.extend(b"nonsense\0\0changed\0x\0\0heard\0\0");
        assert_eq!(decode(&mut bytes), Some(Notice::Silent(false)));
    }
}
