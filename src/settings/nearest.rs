//! Finds the word that somebody probably meant. Never guesses far: about one slip in three letters.

/// The nearest of `known` to `word`, letters of either case being equal, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit)
        .filter_map(|candidate| Some((edits(word.as_bytes(), candidate.as_bytes(), limit)?, candidate)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b`, if at most `limit`.
///
/// It recurses once per letter, so callers compare lengths first.
fn edits(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    match (a, b) {
        ([], rest) | (rest, []) => (rest.len() <= limit).then_some(rest.len()),
        ([x, a_rest @ ..], [y, b_rest @ ..]) => {
            if x.eq_ignore_ascii_case(y) {
                return edits(a_rest, b_rest, limit);
            }
            let left = limit.checked_sub(1)?;
            let swapped = match (a, b) {
                ([p, q, a_rest @ ..], [r, s, b_rest @ ..])
                    if p.eq_ignore_ascii_case(s) && q.eq_ignore_ascii_case(r) =>
                {
                    edits(a_rest, b_rest, left)
                }
                _ => None,
            };
            [
                swapped,
                edits(a_rest, b, left),
                edits(a, b_rest, left),
                edits(a_rest, b_rest, left),
            ]
            .into_iter()
            .flatten()
            .min()
            .map(|edits| edits + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["STOP_TIMEOUT", "STOP_SIGNAL", "LOG"];

    #[test]
    fn slips_are_understood() {
        for word in ["STOP_TIMOUT", "STPO_TIMEOUT", "stop_timeout", "STOP-TIMEOUTS"] {
            assert_eq!(nearest(word, KNOWN), Some("STOP_TIMEOUT"), "{word}");
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        for word in ["", "XYZ", "PORT", "STOP_SOMETHING", &"x".repeat(100_000)] {
            assert_eq!(nearest(word, KNOWN), None);
        }
    }
}
