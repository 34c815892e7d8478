//! MODELS how the kernel numbers the members of a SO_REUSEPORT group. Pure; `tests/e2e/steering.rs` tries it against
//! the kernel.
//!
//! Members are numbered in the order in which they began to listen; when one leaves, the last takes its number
//! (`reuseport_add_sock` and `reuseport_detach_sock` in Linux's net/core/sock_reuseport.c). A program's answer beyond
//! the last number falls back to hashing over all members.

/// The members, by their number in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<T>(Vec<T>);

impl<T> Default for Order<T> {
    fn default() -> Order<T> {
        Order(Vec::new())
    }
}

impl<T: Copy + Eq> Order<T> {
    /// One more began to listen.
    pub fn join(&mut self, member: T) {
        self.0.push(member);
    }

    /// One stopped to listen: closed everywhere, or shut down.
    pub fn leave(&mut self, member: T) {
        if let Some(index) = self.index(member) {
            self.0.swap_remove(index);
        }
    }

    /// The member's number.
    #[must_use]
    pub fn index(&self, member: T) -> Option<usize> {
        self.0.iter().position(|it| *it == member)
    }

    /// May this one leave without a moment in which a program that answers the numbers of `chosen` hits somebody else?
    ///
    /// It may if none of the chosen gets another number, and also if nobody else is left then: whatever the number, one
    /// of them it is.
    #[must_use]
    pub fn may_leave(&self, member: T, chosen: &[T]) -> bool {
        let moves = self.0.last().filter(|last| **last != member);
        let mut others = self.0.iter().filter(|it| **it != member);
        moves.is_none_or(|it| !chosen.contains(it)) || others.all(|it| chosen.contains(it))
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn order(members: &[char]) -> Order<char> {
        let mut order = Order::default();
        members.iter().for_each(|member| order.join(*member));
        order
    }

    #[test]
    fn the_last_takes_the_leaver_s_number() {
        let mut order = order(&['a', 'b', 'c', 'd']);
        order.leave('b');
        assert_eq!(order.iter().collect::<String>(), "adc");
        order.leave('z');
        assert_eq!(order.index('d'), Some(1));
    }

    #[test]
    fn leaving_is_safe_when_no_chosen_one_moves_or_only_they_are_left() {
        let order = order(&['a', 'b', 'c']);
        assert!(order.may_leave('a', &['b']), "c moves, b does not");
        assert!(order.may_leave('c', &['a']), "nobody moves");
        assert!(!order.may_leave('a', &['c']), "c moves to 0, and 2 means nobody");
        assert!(order.may_leave('a', &['b', 'c']), "b and c are all there is");
        assert!(
            super::tests::order(&['a', 'b']).may_leave('a', &['b']),
            "b is all there is"
        );
    }
}
