//! Decides what several settings mean together, and which of them contradict each other. A setting that is faulty by itself
//! is left out: it has its line already.

use std::time::Duration;

use super::value::{Handover, OnHup, Signal, StopSignal, show_duration};
use super::{Fault, Settings};

/// A rule over some settings: the first is the one to blame.
type Rule = (&'static [&'static str], fn(&Settings) -> Option<String>);

const RULES: &[Rule] = &[
    (&["SEGUE_DRAIN_DELAY", "SEGUE_STOP_TIMEOUT"], |settings| {
        beyond(settings.drain_delay, "SEGUE_STOP_TIMEOUT", settings.stop_timeout)
            .filter(|_| !settings.stop_timeout.is_zero())
    }),
    (&["SEGUE_DRAIN_TIMEOUT", "SEGUE_STOP_TIMEOUT"], |settings| {
        beyond(settings.drain_timeout?, "SEGUE_STOP_TIMEOUT", settings.stop_timeout)
            .filter(|_| !settings.stop_timeout.is_zero())
    }),
    (&["SEGUE_RESTART_DELAY", "SEGUE_RESTART_MAX_DELAY"], |settings| {
        beyond(
            settings.restart_delay,
            "SEGUE_RESTART_MAX_DELAY",
            settings.restart_max_delay,
        )
    }),
    (&["SEGUE_SIGNAL_MAP", "SEGUE_STOP_ON"], |settings| {
        let dropped = settings
            .signal_map
            .0
            .iter()
            .filter(|(_, to)| to.is_none())
            .map(|(from, _)| *from);
        let signal = dropped.into_iter().find(|signal| settings.stop_on.contains(*signal))?;
        Some(format!(
            "{signal} is dropped here and asks for a stop in SEGUE_STOP_ON, take it out of one of them"
        ))
    }),
    (&["SEGUE_SIGNAL_MAP", "SEGUE_ON_HUP"], |settings| {
        settings.signal_map.image(Signal::HUP)?;
        let restart = settings.on_hup.given() == Some(&OnHup::Restart);
        restart.then(|| "SIGHUP cannot be mapped when SEGUE_ON_HUP is restart, set that to forward".to_owned())
    }),
    (&["SEGUE_SIGNAL_MAP", "SEGUE_STOP_SIGNAL"], |settings| {
        let reason = StopSignal::can_be(settings.stop_signal()).err()?;
        Some(format!(
            "without SEGUE_STOP_SIGNAL the image of SIGTERM stops the program, and {reason}"
        ))
    }),
    (&["SEGUE_STOP_ON", "SEGUE_ON_HUP"], |settings| {
        let both = settings.stop_on.contains(Signal::HUP) && settings.on_hup.given() == Some(&OnHup::Restart);
        both.then(|| "SIGHUP asks for a stop here and for a restart in SEGUE_ON_HUP, choose one".to_owned())
    }),
    (&["SEGUE_HANDOVER", "SEGUE_PROXY"], |settings| {
        let nothing = settings.handover == Handover::Proxy && settings.proxy.is_empty();
        nothing.then(|| "there is no address to serve, give one in SEGUE_PROXY".to_owned())
    }),
    (&["SEGUE_PROXY", "SEGUE_HANDOVER"], |settings| {
        let other = !matches!(settings.handover, Handover::Auto | Handover::Proxy);
        (other && !settings.proxy.is_empty()).then(|| {
            let handover = settings.handover;
            format!("segue serves these itself, which SEGUE_HANDOVER={handover} is not; take one of them out")
        })
    }),
    (&["SEGUE_PROXY", "SEGUE_LISTEN"], |settings| {
        let both = !settings.proxy.is_empty() && !settings.listen.is_empty();
        both.then(|| "segue serves these itself, or passes those of SEGUE_LISTEN on: choose one".to_owned())
    }),
];

fn beyond(duration: Duration, name: &str, limit: Duration) -> Option<String> {
    let [duration, shown] = [(duration > limit).then_some(duration)?, limit].map(show_duration);
    Some(format!(
        "{duration} is longer than {name} ({shown}), which covers it; shorten it or lengthen {name}"
    ))
}

/// Every contradiction among the settings that have no fault of their own.
pub(super) fn contradictions(settings: &Settings, given: &[(&'static str, String)], faults: &mut Vec<Fault>) {
    let faulty: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    for (names, rule) in RULES {
        if names.iter().any(|name| faulty.contains(name)) {
            continue;
        }
        if let (Some(blamed), Some(reason)) = (names.first(), rule(settings)) {
            faults.push(Fault::new(blamed, text(blamed, given), reason));
        }
    }
}

/// What a setting says, given or not.
fn text(name: &str, given: &[(&'static str, String)]) -> String {
    let given = given
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| text.clone());
    given.unwrap_or_else(|| super::row(name).map_or("", |row| row.default).to_owned())
}

impl Settings {
    /// What contradicts the surroundings. `inherited_sockets` says whether segue itself was given sockets (`LISTEN_FDS`).
    pub fn cross_check(&self, inherited_sockets: bool) -> Vec<Fault> {
        let nothing_to_pass_on = self.handover == Handover::ListenFds && self.listen.is_empty() && !inherited_sockets;
        let reason = "there is no socket to pass on, give addresses in SEGUE_LISTEN";
        nothing_to_pass_on
            .then(|| Fault::new("SEGUE_HANDOVER", "listen-fds", reason))
            .into_iter()
            .collect()
    }

    /// What the program gets when it is to stop: the given signal, else what `SEGUE_SIGNAL_MAP` makes of TERM, else TERM.
    pub fn stop_signal(&self) -> Signal {
        match self.stop_signal.given() {
            Some(StopSignal(signal)) => *signal,
            None => self.signal_map.apply(Signal::TERM).unwrap_or(Signal::TERM),
        }
    }

    /// What HUP does if it is not in `SEGUE_STOP_ON`: a mapped HUP is forwarded unless somebody says otherwise.
    pub fn on_hup(&self) -> OnHup {
        match self.on_hup.given() {
            Some(on_hup) => *on_hup,
            None if self.signal_map.image(Signal::HUP).is_some() => OnHup::Forward,
            None => *self.on_hup.value(),
        }
    }

    /// Longest wait for connections before the stop signal; `None` is as long as it takes.
    pub fn drain_timeout(&self) -> Option<Duration> {
        let half = (!self.stop_timeout.is_zero()).then(|| self.stop_timeout / 2);
        self.drain_timeout.or(half)
    }

    /// How long a replaced generation may take; `None` is as long as it takes.
    pub fn retire_timeout(&self) -> Option<Duration> {
        let timeout = self.retire_timeout.unwrap_or(self.stop_timeout);
        (!timeout.is_zero()).then_some(timeout)
    }

    /// Longest wait for the connections of a replaced generation before its stop signal; `None` is as long as it takes.
    pub fn retire_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout.or(self.retire_timeout().map(|timeout| timeout / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{faults, read_text};
    use super::*;

    #[test]
    fn phases_fit_into_the_stop_timeout() {
        let lines = faults(&[
            ("SEGUE_STOP_TIMEOUT", "5s"),
            ("SEGUE_DRAIN_DELAY", "6s"),
            ("SEGUE_DRAIN_TIMEOUT", "7s"),
        ]);
        assert!(
            lines[0].starts_with(r#"SEGUE_DRAIN_DELAY="6s": 6s is longer than SEGUE_STOP_TIMEOUT (5s)"#),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with(r#"SEGUE_DRAIN_TIMEOUT="7s": 7s is longer"#),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
        read_text(&[("SEGUE_STOP_TIMEOUT", "0"), ("SEGUE_DRAIN_DELAY", "6s")]);
    }

    #[test]
    fn a_faulty_setting_contradicts_nothing() {
        assert_eq!(
            faults(&[("SEGUE_STOP_TIMEOUT", "90"), ("SEGUE_DRAIN_DELAY", "60s")]).len(),
            1
        );
    }

    #[test]
    fn the_first_delay_is_not_beyond_the_longest() {
        assert_eq!(faults(&[("SEGUE_RESTART_DELAY", "31s")]).len(), 1);
        assert_eq!(faults(&[("SEGUE_RESTART_MAX_DELAY", "500ms")]).len(), 1);
    }

    #[test]
    fn a_signal_has_one_purpose() {
        for vars in [
            [("SEGUE_SIGNAL_MAP", "TERM:"), ("SEGUE_STOP_SIGNAL", "INT")],
            [("SEGUE_SIGNAL_MAP", "HUP:USR1"), ("SEGUE_ON_HUP", "restart")],
            [("SEGUE_STOP_ON", "HUP,TERM"), ("SEGUE_ON_HUP", "restart")],
            [("SEGUE_SIGNAL_MAP", "TERM:STOP"), ("SEGUE_LOG", "info")],
        ] {
            assert_eq!(faults(&vars).len(), 1, "{vars:?}");
        }
        read_text(&[("SEGUE_SIGNAL_MAP", "HUP:"), ("SEGUE_STOP_ON", "TERM")]);
        read_text(&[("SEGUE_STOP_ON", "HUP,TERM"), ("SEGUE_ON_HUP", "forward")]);
    }

    #[test]
    fn the_stop_signal_follows_the_map_unless_given() {
        let number = |vars: &[(&str, &str)]| read_text(vars).settings.stop_signal().number();
        assert_eq!(number(&[]), 15);
        assert_eq!(number(&[("SEGUE_SIGNAL_MAP", "TERM:QUIT")]), 3);
        assert_eq!(number(&[("SEGUE_SIGNAL_MAP", "TERM:"), ("SEGUE_STOP_ON", "INT")]), 15);
        assert_eq!(
            number(&[("SEGUE_SIGNAL_MAP", "TERM:QUIT"), ("SEGUE_STOP_SIGNAL", "TERM")]),
            15
        );
    }

    #[test]
    fn a_mapped_hup_is_forwarded() {
        assert_eq!(read_text(&[]).settings.on_hup(), OnHup::Restart);
        assert_eq!(
            read_text(&[("SEGUE_SIGNAL_MAP", "HUP:USR2")]).settings.on_hup(),
            OnHup::Forward
        );
    }

    #[test]
    fn draining_takes_half_of_the_stop_timeout() {
        assert_eq!(read_text(&[]).settings.drain_timeout(), Some(Duration::from_secs(15)));
        assert_eq!(read_text(&[("SEGUE_STOP_TIMEOUT", "0")]).settings.drain_timeout(), None);
    }

    #[test]
    fn a_replaced_generation_has_the_stop_timeout_unless_it_has_its_own() {
        for (vars, seconds) in [
            (vec![], Some((30, 15))),
            (vec![("SEGUE_STOP_TIMEOUT", "10s")], Some((10, 5))),
            (vec![("SEGUE_RETIRE_TIMEOUT", "1h")], Some((3600, 1800))),
            (vec![("SEGUE_RETIRE_TIMEOUT", "0")], None),
            (vec![("SEGUE_STOP_TIMEOUT", "0")], None),
            (
                vec![("SEGUE_STOP_TIMEOUT", "0"), ("SEGUE_RETIRE_TIMEOUT", "4s")],
                Some((4, 2)),
            ),
        ] {
            let settings = read_text(&vars).settings;
            let told = settings.retire_timeout().zip(settings.retire_drain_timeout());
            let told = told.map(|(all, drain)| (all.as_secs(), drain.as_secs()));
            assert_eq!(told, seconds, "{vars:?}");
        }
    }

    #[test]
    fn a_proxy_serves_by_itself() {
        for (vars, part) in [
            (
                [("SEGUE_HANDOVER", "proxy"), ("SEGUE_LOG", "info")],
                "give one in SEGUE_PROXY",
            ),
            (
                [("SEGUE_PROXY", ":80"), ("SEGUE_HANDOVER", "transparent")],
                "SEGUE_HANDOVER=transparent is not",
            ),
            (
                [("SEGUE_PROXY", ":80"), ("SEGUE_HANDOVER", "none")],
                "take one of them out",
            ),
            ([("SEGUE_PROXY", ":80"), ("SEGUE_LISTEN", ":81")], "choose one"),
            (
                [("SEGUE_PROXY", ":80,:80"), ("SEGUE_LOG", "info")],
                ":80 is there twice",
            ),
        ] {
            let lines = faults(&vars);
            assert!(lines.len() == 1 && lines[0].contains(part), "{lines:?}");
        }
        let given = [
            ("SEGUE_PROXY", ":80,unix:/run/a.sock,[::1]:81"),
            ("SEGUE_HANDOVER", "proxy"),
        ];
        assert_eq!(read_text(&given).settings.proxy.len(), 3);
    }

    #[test]
    fn passing_on_needs_sockets() {
        let settings = read_text(&[("SEGUE_HANDOVER", "listen-fds")]).settings;
        assert_eq!(
            (settings.cross_check(false).len(), settings.cross_check(true).len()),
            (1, 0)
        );
        let settings = read_text(&[("SEGUE_HANDOVER", "listen-fds"), ("SEGUE_LISTEN", ":80")]).settings;
        assert_eq!(settings.cross_check(false), []);
    }
}
