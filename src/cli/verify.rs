//! `segue verify`: a program under segue and under load, restarted again and again; what was lost, and how long it took.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use clap::{Arg, ArgAction, Command, value_parser};
use serde_json::json;

use super::settings::finish;
use crate::{
    process::inherited::Inherited,
    settings::{
        self, Settings,
        value::{Address, Handover, HttpProbe, Listen, OnHup, Value},
    },
    verify::{Claim, Cut, Evidence, Question, prove},
};

/// Something was lost, or it could not be tried.
const FAILED: u8 = 1;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) url: Option<HttpProbe>,
    pub(super) restarts: u32,
    pub(super) rate: u32,
    pub(super) json: bool,
}

/// Its part of the command line, without the program.
pub(super) fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let number = Arg::new(name).long(name).value_name("N").help(help);
        number.default_value(default).allow_negative_numbers(true)
    };
    Command::new("verify")
        .about("Run PROGRAM under load, restart it, and tell what was lost and how long it took")
        .after_help(
            "The settings are those of segue itself. Half of the requests go over connections of their own, half over \
             kept ones.\nExit code: 0 nothing was lost and every restart replaced the program, 1 otherwise.\n\
             Example: SEGUE_LISTEN=:8080 segue verify --restarts 20 -- ./server",
        )
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .help("What to ask, such as http://127.0.0.1:8080/ready [default: / where PROGRAM listens]")
                .value_parser(url),
        )
        .arg(number("restarts", "5", "How often to restart it").value_parser(value_parser!(u32).range(0..=10_000)))
        .arg(
            number("rate", "500", "Requests per second, 1 to 100000")
                .value_parser(value_parser!(u32).range(1..=100_000)),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .help("Report as one JSON object")
                .action(ArgAction::SetTrue),
        )
}

/// A plain URL in numbers, spelled out.
pub(super) fn url(text: &str) -> Result<HttpProbe, String> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("https:") {
        return Err("https is not supported; ask a plain port".into());
    }
    if !lower.starts_with("http://") || lower.contains('@') {
        return Err("give a URL such as http://HOST:PORT/path, HOST a number or localhost".into());
    }
    HttpProbe::parse(text).map_err(|reason| reason.to_string())
}

/// Proves it, and writes the report to `out`.
pub(super) fn verify(
    options: &Options,
    program: Vec<OsString>,
    mut environment: Vec<(OsString, OsString)>,
    inherited: &Inherited,
    out: &mut dyn Write,
) -> u8 {
    // What is wrong with the settings, the segue under test says.
    let settings = settings::read(environment.iter().cloned()).ok().map(|it| it.settings);
    if settings
        .as_ref()
        .is_some_and(|settings| settings.on_hup() == OnHup::Forward)
    {
        let why = "HUP is the program's own by SEGUE_ON_HUP or SEGUE_SIGNAL_MAP, so that it restarts nothing";
        return failed(options, why, out);
    }
    make_it_talk(&mut environment);
    let claim = Claim {
        program,
        environment,
        questions: questions(options.url.as_ref(), settings.as_ref()),
        restarts: options.restarts,
        rate: options.rate,
    };
    match prove(&claim, inherited) {
        Ok(evidence) => report(options, &evidence, out),
        Err(Cut::Failed(why)) => failed(options, &why, out),
        Err(Cut::Interrupted(signal)) => u8::try_from(128 + signal).unwrap_or(FAILED),
    }
}

/// Its log is what is gone by: JSON, every turn, and with modules, which tell its lines from those of a program that logs in the
/// same form.
fn make_it_talk(environment: &mut Vec<(OsString, OsString)>) {
    environment.retain(|(name, _)| name != "SEGUE_LOG" && name != "SEGUE_LOG_FORMAT");
    environment.push(("SEGUE_LOG".into(), "debug,segue=debug".into()));
    environment.push(("SEGUE_LOG_FORMAT".into(), "json".into()));
}

/// What the URL says, or the first address that segue binds for the program; empty where only the log will tell.
fn questions(url: Option<&HttpProbe>, settings: Option<&Settings>) -> Vec<Question> {
    let question = |host: &str, path: &str, address| Question {
        address,
        host: host.to_owned(),
        path: path.to_owned(),
    };
    if let Some(url) = url {
        let addresses = sockets(&url.address).into_iter();
        return addresses
            .map(|address| question(&url.host, &url.path, address))
            .collect();
    }
    let bound = settings.filter(|settings| settings.handover != Handover::None);
    let mut addresses = bound.into_iter().flat_map(|settings| {
        let listen = settings.listen.iter().map(|Listen { address, .. }| address);
        settings.proxy.iter().chain(listen)
    });
    let first = addresses.find_map(|address| Some(sockets(address)).filter(|it| !it.is_empty()));
    let addresses = first.unwrap_or_default().into_iter();
    addresses
        .map(|address| question(&address.to_string(), "/", address))
        .collect()
}

fn sockets(address: &Address) -> Vec<SocketAddr> {
    match address {
        Address::Tcp(address) => vec![*address],
        Address::AnyInterface(port) | Address::Localhost(port) => {
            vec![(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()]
        }
        Address::Unix(_) => Vec::new(),
    }
}

fn report(options: &Options, evidence: &Evidence, out: &mut dyn Write) -> u8 {
    let text = if options.json {
        format!("{:#}\n", evidence.json())
    } else {
        evidence.text()
    };
    finish(out, &text, if evidence.holds() { 0 } else { FAILED })
}

fn failed(options: &Options, why: &str, out: &mut dyn Write) -> u8 {
    let told = finish(&mut io::stderr(), &format!("segue verify: {why}\n"), FAILED);
    if options.json {
        return finish(out, &format!("{:#}\n", json!({ "ok": false, "error": why })), told);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::value::{LogFilter, Value};

    fn asked(url: Option<&str>, vars: &[(&str, &str)]) -> Vec<String> {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        let settings = settings::read(vars).unwrap().settings;
        let url = url.map(|text| super::url(text).unwrap());
        let questions = questions(url.as_ref(), Some(&settings));
        questions
            .iter()
            .map(|it| format!("{} {} {}", it.address, it.host, it.path))
            .collect()
    }

    #[test]
    fn the_url_goes_before_what_segue_binds() {
        let listen = [("SEGUE_LISTEN", "unix:/run/a,web=:80,:81")];
        assert_eq!(
            asked(None, &listen),
            ["127.0.0.1:80 127.0.0.1:80 /", "[::1]:80 [::1]:80 /"]
        );
        assert_eq!(asked(Some("http://10.0.0.1/x"), &listen), ["10.0.0.1:80 10.0.0.1 /x"]);
        assert_eq!(
            asked(Some("http://localhost:9"), &[]),
            ["127.0.0.1:9 localhost:9 /", "[::1]:9 localhost:9 /"]
        );
        assert!(asked(None, &[]).is_empty());
        assert!(asked(None, &[listen[0], ("SEGUE_HANDOVER", "none")]).is_empty());
    }

    #[test]
    fn the_log_tells_enough() {
        let mut environment = vec![("SEGUE_LOG".into(), "off".into()), ("A".into(), "b".into())];
        make_it_talk(&mut environment);
        let filter = environment[1].1.to_str().unwrap();
        assert!(<LogFilter as Value>::parse(filter).unwrap().by_module);
        assert_eq!(environment.len(), 3);
    }
}
