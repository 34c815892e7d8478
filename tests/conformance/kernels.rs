//! A change that breaks another kernel is seen before it lands: one small guest is booted, where QEMU is installed. (`make vm` boots
//! all of them.)

use std::{env, path::Path, process::Command};

#[test]
fn another_kernel_does_as_well() {
    let there = |program: &str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        found.unwrap().status.success()
    };
    if !there("qemu-system-x86_64") || !there("depmod") || !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: QEMU is not here (scripts/setup --vm)");
        return;
    }
    let guest = Command::new("/usr/bin/python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm"))
        .arg("--quick")
        .arg(env!("CARGO_BIN_EXE_segue"))
        .arg(env::current_exe().unwrap())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&guest.stdout),
        String::from_utf8_lossy(&guest.stderr),
    );
    assert!(guest.status.success(), "{out}\n{err}");
}
