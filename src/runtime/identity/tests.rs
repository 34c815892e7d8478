//! As whom a program runs, by what the files say and what segue may do.

use super::*;
use crate::settings::value::Value;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    bad:x:none:5::/:\n\
    1000:x:0:0::/evil:\n\
    app:x:1000:1001:App:/home/app:/bin/sh\n\
    again:x:1000:7::/again:\n\
    homeless:x:1002:1002:::\n\
    relative:x:1003:1003::work:\n\
    short:x:9\n";
const GROUP: &str = "root:x:0:root\n\
    disk:x:6:root\n\
    adm:x:4:app,homeless\n\
    video:x:44: app\n\
    broken:x::app\n\
    app:x:1001:\n";

fn root() -> Own {
    Own {
        user: 0,
        group: 0,
        groups: vec![0, 6, 999],
        may_set_user: true,
        may_set_group: true,
        user_map: "0 0 4294967295".into(),
        group_map: "0 0 4294967295".into(),
    }
}

fn chosen(user: &str, groups: Option<&str>, own: &Own, passwd: &str, group: &str) -> Result<Decision, String> {
    let files = Files {
        passwd: passwd.into(),
        group: group.into(),
    };
    let groups = groups.and_then(|text| Groups::parse(text).ok());
    let user = User::parse(user).map_err(|reason| reason.to_string())?;
    choose(&user, groups.as_ref(), own, &files)
}

fn becomes(user: &str, groups: Option<&str>) -> (u32, u32, Vec<u32>, String) {
    match chosen(user, groups, &root(), PASSWD, GROUP).unwrap() {
        Decision::Become(it, home, _) => (it.user, it.group, it.groups, home),
        other @ Decision::Stay(_) => panic!("{other:?}"),
    }
}

#[test]
fn a_user_has_its_group_its_groups_and_its_home() {
    let home = |text: &str| text.to_owned();
    // 999 is what the engine has added; root's disk does not come along.
    assert_eq!(becomes("app", None), (1000, 1001, vec![999, 4, 44], home("/home/app")));
    assert_eq!(
        becomes("1000", None),
        (1000, 1001, vec![999, 4, 44], home("/home/app")),
        "the first of two"
    );
    assert_eq!(becomes("app:adm", None), (1000, 4, vec![999], home("/home/app")));
    assert_eq!(becomes("app:7", None), (1000, 7, vec![999], home("/home/app")));
    assert_eq!(becomes("app", Some("none")), (1000, 1001, vec![], home("/home/app")));
    assert_eq!(
        becomes("app", Some("adm,6,adm")),
        (1000, 1001, vec![4, 6], home("/home/app"))
    );
    assert_eq!(becomes("homeless", None), (1002, 1002, vec![999, 4], home("/")));
    assert_eq!(becomes("relative", None), (1003, 1003, vec![999], home("/")));
    assert_eq!(becomes("4321", None), (4321, 0, vec![999], home("/")));
    assert_eq!(becomes("root:adm", None), (0, 4, vec![999], home("/root")));
}

#[test]
fn without_the_files_numbers_do() {
    let it = chosen("1000:7", None, &root(), "", "").unwrap();
    let note = "user 1000 is not in /etc/passwd: its group is 7, its HOME is /";
    let groups = vec![6, 999];
    let (user, group, home) = (1000, 7, "/".to_owned());
    assert_eq!(
        it,
        Decision::Become(Identity { user, group, groups }, home, Some(note.into()))
    );
    for (user, why) in [("app", "no user \"app\""), ("1000:adm", "no group \"adm\"")] {
        let fault = chosen(user, None, &root(), "", "").unwrap_err();
        assert!(fault.contains(why), "{fault}");
    }
}

#[test]
fn never_root_by_accident() {
    for (user, why) in [
        ("nobody", "there is no user \"nobody\" in /etc/passwd"),
        ("short", "there is no user \"short\" in /etc/passwd"),
        ("bad", "line 2 of /etc/passwd (bad) has no numbers for user and group"),
        ("app:broken", "line 5 of /etc/group (broken) has no number"),
        ("app:nothing", "there is no group \"nothing\" in /etc/group"),
    ] {
        assert_eq!(chosen(user, None, &root(), PASSWD, GROUP).unwrap_err(), why);
    }
    assert!(chosen("app", Some("nothing"), &root(), PASSWD, GROUP).is_err());
}

#[test]
fn another_user_than_root_stays_who_it_is() {
    let own = |user, group| Own {
        user,
        group,
        may_set_user: false,
        may_set_group: false,
        ..root()
    };
    assert_eq!(
        chosen("app", None, &own(1000, 1001), PASSWD, GROUP),
        Ok(Decision::Stay(None))
    );
    assert_eq!(
        chosen("app", None, &own(1000, 0), PASSWD, GROUP),
        Ok(Decision::Stay(None))
    );
    for own in [own(65_532, 0), own(1002, 1002)] {
        let Ok(Decision::Stay(Some(note))) = chosen("app", None, &own, PASSWD, GROUP) else {
            panic!("no note");
        };
        assert!(note.starts_with("started as user "), "{note}");
    }
    assert!(
        chosen("nobody", None, &own(1000, 0), PASSWD, GROUP).is_err(),
        "a mistake is one for everybody"
    );
}

#[test]
fn what_is_not_permitted_is_named() {
    let fault = |own: Own| chosen("app", None, &own, PASSWD, GROUP).unwrap_err();
    let lacks = |user, group| {
        fault(Own {
            may_set_user: user,
            may_set_group: group,
            ..root()
        })
    };
    assert!(lacks(false, true).starts_with("SETUID is missing"));
    assert!(lacks(true, false).starts_with("SETGID is missing"));
    assert!(lacks(false, false).starts_with("SETUID and SETGID are missing"));
    let one = "0 1000 1\n".to_owned();
    let unmapped = fault(Own {
        user_map: one.clone(),
        ..root()
    });
    assert_eq!(
        unmapped,
        "user 1000 is not mapped in this user namespace (/proc/self/uid_map)"
    );
    assert!(
        fault(Own {
            group_map: one,
            ..root()
        })
        .starts_with("group 1001 is not mapped")
    );
    let split = "0 1000 1\n1 100000 65536\n".to_owned();
    assert!(
        chosen(
            "app",
            None,
            &Own {
                user_map: split,
                ..root()
            },
            PASSWD,
            GROUP
        )
        .is_ok()
    );
    let nothing_to_do = Own {
        groups: vec![],
        may_set_user: false,
        may_set_group: false,
        ..root()
    };
    assert!(chosen("root", Some("none"), &nothing_to_do, PASSWD, GROUP).is_ok());
}
