//! What holds for every text of a dotenv file.

use segue::runtime::{
    dotenv::{Wrong, parse},
    environment::longest,
};

/// A variable, or what is wrong with a line.
type Said = Result<(String, String), Wrong>;

/// What editors on Windows put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A text says some variables, or the number of a line that says none; small things around it change nothing.
pub fn check(bytes: &[u8]) {
    let read = read(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for variable in &read {
        match variable {
            Ok((name, value)) => {
                assert!(
                    !name.is_empty() && !name.contains(|it: char| it.is_ascii_whitespace()),
                    "{name:?}"
                );
                assert!(name.len() + value.len() < bytes.len(), "{value:?}");
            }
            Err(wrong) => assert!(
                (1..=lines).contains(&wrong.line),
                "{wrong} of {lines}: {:?}",
                String::from_utf8_lossy(bytes)
            ),
        }
    }
    let said = |it: &[Said]| -> Vec<Option<(String, String)>> { it.iter().map(|it| it.clone().ok()).collect() };
    let same = |parts: &[&[u8]], why: &str| assert_eq!(said(&self::read(&parts.concat())), said(&read), "{why}");
    if !bytes.starts_with(MARK) {
        same(&[MARK, bytes], "a mark before it");
        same(&[b"# a comment\n\n", bytes], "a comment before it");
    }
    if read.iter().all(is_whole) {
        same(&[bytes, b"\n"], "an end of the last line");
        same(&[bytes, b"\n# the end"], "a comment behind it");
        again(&read);
    }
}

fn is_whole(said: &Said) -> bool {
    let is_short = |(name, value): &(String, String)| name.len() + value.len() <= longest();
    said.as_ref().is_ok_and(is_short)
}

fn read(text: &[u8]) -> Vec<Said> {
    parse(text).collect()
}

/// What it says can be said in quotes, and is read as the same.
fn again(read: &[Said]) {
    let variables = read
        .iter()
        .flatten()
        .filter(|it| !it.1.contains('\'') && !it.1.contains('\r'));
    let variables: Vec<(String, String)> = variables.cloned().collect();
    let line = |(name, value): &(String, String)| format!("export {name} = '{value}' # said again\r\n");
    let text: String = variables.iter().map(line).collect();
    let told: Vec<(String, String)> = parse(text.as_bytes()).collect::<Result<_, _>>().unwrap();
    assert_eq!(told, variables, "{text:?}");
}
