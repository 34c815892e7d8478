//! Which paths the next generation is waited for at, and which not.

use super::*;

#[test]
fn a_late_one_is_rolled_back_with_the_name_of_what_is_missing() {
    let mut server = python(As::Subreaper, "unlink silent", &[("SEGUE_READY_TIMEOUT", "1s")]);
    let line = server.restart("rolled_back");
    let missing = format!("missing: unix:{}", server.path().display());
    assert!(line["why"].as_str().unwrap().contains(&missing), "{line}");
    assert_eq!(server.who(), "1");
}

#[test]
fn a_name_that_tells_its_process_is_not_waited_for() {
    let mut server = python(As::Subreaper, "unlink remove extra", &[("SEGUE_READY_TIMEOUT", "10s")]);
    server.restart("replaced");
    assert_eq!(server.who(), "2");
}

#[test]
fn a_socket_in_a_directory_of_the_generation_s_own_is_not_waited_for() {
    let mut server = python(
        As::Subreaper,
        "unlink remove temporary",
        &[("SEGUE_READY_TIMEOUT", "10s")],
    );
    server.restart("replaced");
    assert_eq!(server.who(), "2");
}

/// In a container the numbers of processes are small, and a name may have one by chance: that of the program is 2 there.
#[test]
fn a_name_with_a_process_s_number_by_chance_is_handed_over() {
    let home = home();
    let path = home.path().join("php2.sock");
    let recipe = Recipe::plain(As::Init, words(&path, "unlink remove")).set("SEGUE_PROBATION", "50ms");
    let mut server = Server::started(recipe.start(), home, "");
    let by = |who: &str| ask(&path, SockType::Stream, "who").unwrap() == who;
    assert!(by("1"));
    for generation in ["2", "3"] {
        server.restart("replaced");
        server
            .segue
            .line("generation is gone", generation.parse::<usize>().unwrap() - 1);
        wait::until("the new one answers", || by(generation).then_some(()));
    }
}
