//! `segue health`: a probe's answer as exit code and one line, for HEALTHCHECK and exec probes. Where there is no control
//! socket it asks the admin endpoint.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use clap::{Arg, ArgMatches, Command as Clap, builder::PossibleValuesParser};

use super::{
    find::{Missing, find, own_settings, status},
    settings::finish,
};
use crate::{
    control::health::Probe,
    settings::{
        Settings,
        value::{Address, Admin},
    },
};

const UNHEALTHY: u8 = 1;
const PATIENCE: Duration = Duration::from_secs(2);

/// Its part of the command line.
pub(super) fn command() -> Clap {
    Clap::new("health")
        .about("Tell whether it is well, in one line and by the exit code")
        .after_help(
            "live: segue's loop turns · ready (the default): a ready generation serves, no drain or stop is under way · \
             startup: a generation has been ready\nExit code: 0 yes, 1 no.\n\
             Example, in a Dockerfile: HEALTHCHECK CMD [\"/segue\", \"health\"]",
        )
        .arg(
            Arg::new("probe")
                .value_name("PROBE")
                .help("live, ready or startup")
                .default_value("ready")
                .value_parser(PossibleValuesParser::new(["live", "ready", "startup"])),
        )
}

/// What is asked.
pub(super) fn probe(matches: &ArgMatches) -> Probe {
    match matches.get_one::<String>("probe").map(String::as_str) {
        Some("live") => Probe::Live,
        Some("startup") => Probe::Startup,
        Some(_) | None => Probe::Ready,
    }
}

/// Answers.
pub(super) fn health(probe: Probe, vars: &[(OsString, OsString)], out: &mut dyn Write) -> u8 {
    let settings = own_settings(vars);
    let (reason, healthy) = match (ask(probe, &settings), &settings.admin) {
        (Ok(answer), _) => answer,
        (Err(missing), Admin::At(address)) => over_http(probe, address).unwrap_or((missing.to_string(), false)),
        (Err(missing), Admin::Off) => (missing.to_string(), false),
    };
    let reason = reason.replace("\n ", ";").replace('\n', "; ");
    // Docker keeps what a check says, and shows it to whoever inspects the container.
    finish(out, &format!("{reason}\n"), if healthy { 0 } else { UNHEALTHY })
}

fn ask(probe: Probe, settings: &Settings) -> Result<(String, bool), Missing> {
    let mut client = find(settings)?;
    let status = status(&mut client, false).map_err(|silence| Missing::Closed(silence.to_string()))?;
    let verdict = probe.judge(&status);
    Ok((verdict.reason(), verdict.holds()))
}

/// `None`: nobody answers there either.
fn over_http(probe: Probe, address: &Address) -> Option<(String, bool)> {
    let path = match probe {
        Probe::Live => "/livez",
        Probe::Ready => "/readyz",
        Probe::Startup => "/startupz",
    };
    let local = |port| {
        vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]
    };
    let addresses = match address {
        Address::Tcp(address) if address.ip().is_unspecified() => local(address.port()),
        Address::Tcp(address) => vec![*address],
        Address::AnyInterface(port) | Address::Localhost(port) => local(*port),
        Address::Unix(_) => Vec::new(),
    };
    addresses.iter().find_map(|address| get(*address, path).ok())
}

fn get(address: SocketAddr, path: &str) -> io::Result<(String, bool)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = head.split(' ').nth(1).unwrap_or_default();
    if !["200", "503"].contains(&code) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((body.trim().to_owned(), code == "200"))
}
