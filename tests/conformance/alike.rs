//! Each case with segue and without it, in each way to run them.

use crate::{
    compare::{assert_alike, assert_nothing, compare},
    support::segue::As,
    table::{self, few, kinds},
    ways::{PLAIN, Refused, User, Way},
};

#[test]
fn options_are_the_program_s_own() {
    assert_alike(PLAIN, &table::options(&kinds()));
}

#[test]
fn a_socket_is_the_same_wherever_it_is() {
    assert_alike(PLAIN, &table::identities(&kinds()));
}

#[test]
fn calls_in_any_order_get_the_kernel_s_own_answers() {
    assert_alike(PLAIN, &table::orders(&kinds()));
}

/// In processes of a few cases each: who binds very many UDP ports is not asked about all of them.
fn udp_alike(way: Way) {
    for some in table::datagrams(true).chunks(12) {
        assert_alike(way, some);
    }
}

#[test]
fn a_udp_port_is_had_as_the_options_say() {
    udp_alike(PLAIN);
}

#[test]
fn a_udp_port_is_had_as_the_options_say_without_pidfd_getfd() {
    let refused = Refused::Getfd;
    udp_alike(Way { refused, ..PLAIN });
}

#[test]
fn paths_and_datagrams_are_left_alone() {
    assert_alike(PLAIN, &table::unix());
}

#[test]
fn who_confines_itself_is_not_harmed_and_not_helped() {
    assert_alike(PLAIN, &table::confined(&kinds()));
}

#[test]
fn by_pid_1() {
    let way = Way { how: As::Init, ..PLAIN };
    assert_alike(way, &table::all(&few()));
}

#[test]
fn without_pidfd_getfd() {
    let refused = Refused::Getfd;
    assert_alike(Way { refused, ..PLAIN }, &table::all(&few()));
}

#[test]
fn without_ptrace() {
    let refused = Refused::GetfdAndPtrace;
    assert_alike(Way { refused, ..PLAIN }, &table::all(&few()));
}

#[test]
fn by_nobody() {
    let [way, ..] = Way::each(As::Subreaper, User::Nobody);
    assert_alike(way, &table::all(&few()));
}

#[test]
fn by_nobody_without_pidfd_getfd() {
    // As in a hardened container.
    let [_, way, _] = Way::each(As::Init, User::Nobody);
    assert_alike(way, &table::all(&few()));
}

#[test]
fn by_nobody_without_ptrace() {
    let [.., way] = Way::each(As::Subreaper, User::Nobody);
    assert_alike(way, &table::all(&few()));
}

#[test]
fn by_a_program_of_another_user() {
    let [way, ..] = Way::each(As::Init, User::Other);
    assert_alike(way, &table::all(&few()));
}

#[test]
fn by_a_program_of_another_user_without_pidfd_getfd() {
    let [_, way, _] = Way::each(As::Subreaper, User::Other);
    assert_alike(way, &table::all(&few()));
}

#[test]
fn by_a_program_of_another_user_without_ptrace() {
    let [.., way] = Way::each(As::Subreaper, User::Other);
    assert_alike(way, &table::all(&few()));
}

/// Segue without hand-over traps nothing: what differs then is the harness's doing, or an init's.
#[test]
fn without_hand_over_nothing_differs() {
    for user in [User::Root, User::Nobody, User::Other] {
        let handover = Some("none");
        assert_alike(
            Way {
                user,
                handover,
                ..PLAIN
            },
            &table::all(&few()),
        );
    }
}

/// The kernel's answers are the same each time: what differs elsewhere is segue's doing.
#[test]
fn without_segue_each_case_says_the_same_twice() {
    for (user, kinds) in [(User::Root, kinds()), (User::Nobody, few()), (User::Other, few())] {
        let way = Way { user, ..PLAIN };
        assert_nothing(way, &compare(way, &table::all(&kinds), false));
    }
}
