//! PARSES /proc/self/stat. Pure.

/// Fields of /proc/self/stat, in the kernel's units.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// In clock ticks, user's and system's.
    pub(super) cpu: u64,
    pub(super) threads: u64,
    /// In clock ticks since the system was started.
    pub(super) start: u64,
    /// In bytes.
    pub(super) virtual_memory: u64,
    /// In pages.
    pub(super) resident: u64,
}

impl Stat {
    /// Out of the file's text.
    pub(super) fn parse(text: &str) -> Option<Stat> {
        // The name, in parentheses, may contain anything. What follows it begins with the third field.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Stat {
            cpu: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start: field(22)?,
            virtual_memory: field(23)?,
            resident: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn a_name_may_contain_what_it_likes() {
        let numbers: Vec<String> = (4..=52).map(|field: u64| field.to_string()).collect();
        let text = format!("1 (a) R (b)) S {}\n", numbers.join(" "));
        let expected = Stat {
            cpu: 14 + 15,
            threads: 20,
            start: 22,
            virtual_memory: 23,
            resident: 24,
        };
        assert_eq!(Stat::parse(&text), Some(expected));
        for odd in ["", ")", "1 (a) S 4 5 6", "1 (a) S x"] {
            assert_eq!(Stat::parse(odd), None, "{odd}");
        }
    }
}
