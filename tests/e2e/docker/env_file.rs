//! A file for `docker run --env-file` gives a program the same variables as `SEGUE_ENV_FILES`.

use std::fs;

use crate::support::{
    directory,
    docker::{empty_image, is_there, run, with_machine},
};

/// Without quotes, which Docker takes for a part of the value, and without comments behind values, which it does not know.
const FILE: &str = "PLAIN=one\nDOLLARS=p4$$w0rd\nNAME=$HOME\nBRACES=${NOPE}z\nLAST=a$\nJSON={\"k\":\"v\"}\nHASH=x#y\nBEGINS=#x\n\
                    SLASH=a\\b\nTAB=tab\\there\nSPACES=x y  z\nEQUALS=a=b=\nEMPTY=\nURL=postgres://u:p@h/d?a=b&c=d#e;f\nUTF=caf\u{e9}\n\
                    # a comment\n\nDOT.TED=1\n";

#[test]
fn as_docker_reads_it() {
    if !is_there() {
        return;
    }
    let home = directory();
    let file = home.path().join("env");
    fs::write(&file, FILE).unwrap();
    let variables = |options: &[String]| {
        let mut all: Vec<String> = ["run", "--rm"].map(str::to_owned).to_vec();
        all.extend(options.iter().cloned());
        with_machine(&mut all);
        all.push(empty_image().to_owned());
        all.extend(["--", "env", "-0"].map(str::to_owned));
        let output = run(all);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let ours = |line: &&str| {
            let (name, _) = line.split_once('=').unwrap();
            FILE.lines().any(|line| line.split('=').next() == Some(name))
        };
        let mut lines: Vec<String> = text
            .trim_end_matches('\0')
            .split('\0')
            .filter(ours)
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    let by_docker = variables(&[format!("--env-file={}", file.display())]);
    let by_segue = variables(&[
        format!("--volume={}:/env:ro", file.display()),
        "--env=SEGUE_ENV_FILES=/env".to_owned(),
    ]);
    assert_eq!(by_docker, by_segue);
    assert_eq!(by_docker.len(), 16);
}
