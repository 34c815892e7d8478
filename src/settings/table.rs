//! The one list of settings. Parsing, `segue settings`, `segue check`, README and docs/configuration.md are made from it.

use std::path::PathBuf;
use std::time::Duration;

use super::Fault;
use super::row::{Row, settings, value};
use super::value::{
    Address, Admin, Choice, Control, DrainMode, Groups, Handover, Hook, Limit, Listen, LogFilter, LogFormat, Nice,
    OnHup, Ready, ReadyTimeout, RestartMode, RestartPolicy, Score, Secret, Signal, SignalMap, StopOn, StopSignal,
    SuccessCodes, TerminationLog, Umask, User, Value, WatchAction, WatchBackend, WatchPath,
};

settings! {
    "Stop" {
        stop_on "SEGUE_STOP_ON": StopOn = "TERM",
            "signals that ask for a graceful stop (nginx images: `TERM,QUIT`)";
        stop_signal "SEGUE_STOP_SIGNAL": Choice<StopSignal> = "TERM",
            "what the program gets when it is to stop; unset, what `SEGUE_SIGNAL_MAP` makes of TERM";
        stop_timeout "SEGUE_STOP_TIMEOUT": Duration = "30s",
            "from the request to SIGKILL, all phases together; `0` never kills";
        drain "SEGUE_DRAIN": DrainMode = "auto",
            "`connections` waits for them before the stop signal, `signal` sends it at once and the program drains itself; \
             `auto` is `signal` if the program has a handler for the stop signal (not one of a language's runtime: Go, Java, Node, Ruby)";
        drain_delay "SEGUE_DRAIN_DELAY": Duration = "0s",
            "after a stop request: not ready, still accepting (load balancers need time to look away)";
        drain_timeout "SEGUE_DRAIN_TIMEOUT": Option<Duration> = "" ("half of the stop timeout"),
            "longest wait for connections before the stop signal";
        retire_timeout "SEGUE_RETIRE_TIMEOUT": Option<Duration> = "" ("the stop timeout"),
            "how long a replaced generation may take, all phases together; `0` is as long as it takes (long jobs, WebSockets), \
             for three generations at a time at most";
        drain_idle "SEGUE_DRAIN_IDLE": Duration = "1s",
            "a connection with nothing queued and quiet this long counts as finished";
    }
    "Restart" {
        on_hup "SEGUE_ON_HUP": Choice<OnHup> = "restart",
            "what HUP does: `restart`, or `forward` (the program reloads itself)";
        restart_mode "SEGUE_RESTART_MODE": RestartMode = "auto",
            "`overlap` starts the new generation first, `stop-first` stops the old one first and connections wait meanwhile; \
             `auto` is `overlap` unless two at once would harm each other: a locked file, one that is being written and is no log, \
             a socket that cannot be handed over, too little memory";
        handover "SEGUE_HANDOVER": Handover = "auto",
            "what happens to listening sockets in a restart; `auto` is `proxy` if `SEGUE_PROXY` is set, else `listen-fds` \
             if `SEGUE_LISTEN` is set, else `transparent` if the kernel allows it, else `none`";
        listen "SEGUE_LISTEN": Vec<Listen> = "",
            "addresses to bind and pass on as fd 3 and up; a name goes to `LISTEN_FDNAMES`";
        proxy "SEGUE_PROXY": Vec<Address> = "",
            "public addresses that segue serves itself (HTTP); the program gets `PORT`, a fresh loopback port per generation";
    }
    "Readiness" {
        ready "SEGUE_READY": Ready = "auto",
            "what shows that a generation may get traffic; `auto` is READY=1 or listening, whichever comes first; `file:` is a file that is newer \
             than the generation's start";
        ready_timeout "SEGUE_READY_TIMEOUT": ReadyTimeout = "auto",
            "a replacing generation that is not ready by then is rolled back; the first has no limit; `auto` is 60s, or three times what \
             the first took if that is longer";
        probation "SEGUE_PROBATION": Duration = "1s",
            "a crash this soon after ready still rolls back";
    }
    "When the program ends by itself" {
        restart "SEGUE_RESTART": RestartPolicy = "never",
            "`never` exits with its code, `on-failure` and `always` start it again";
        restart_delay "SEGUE_RESTART_DELAY": Duration = "1s",
            "wait before the first such restart; doubles with each in a row";
        restart_max_delay "SEGUE_RESTART_MAX_DELAY": Duration = "30s",
            "longest such wait";
        restart_limit "SEGUE_RESTART_LIMIT": u32 = "5",
            "restarts in a row before giving up with the program's code";
        stable_delay "SEGUE_STABLE_DELAY": Duration = "10s",
            "up-time that resets the count, and after which connections wait nowhere for the program to listen";
    }
    "Program" {
        signal_map "SEGUE_SIGNAL_MAP": SignalMap = "",
            "signals that reach the program as another: `TERM:QUIT,HUP:` (an empty right side drops it)";
        stop_group "SEGUE_STOP_GROUP": bool = "false",
            "send signals to the program's whole process group (SIGKILL always goes to the whole generation)";
        success_codes "SEGUE_SUCCESS_CODES": SuccessCodes = "",
            "exit codes reported as 0; `stop` is death by the stop signal when a stop was asked for";
        user "SEGUE_USER": Option<User> = "",
            "the program, hooks and probe commands run as this user, and segue stays as it is; set and empty is an error";
        supplementary_groups "SEGUE_SUPPLEMENTARY_GROUPS": Option<Groups> = "" ("the user's, and those that the engine added"),
            "the groups of that user beside its own; `none` for no groups";
        working_directory "SEGUE_WORKING_DIRECTORY": Option<PathBuf> = "" ("as inherited"),
            "directory of the program, hooks and probe commands; `~` is HOME";
        umask "SEGUE_UMASK": Option<Umask> = "" ("as inherited"),
            "permissions that files of the program do not get, in octal: `027`";
        limit_nofile "SEGUE_LIMIT_NOFILE": Option<Limit> = "" ("as inherited"),
            "files that each process of the program may have open";
        limit_core "SEGUE_LIMIT_CORE": Option<Limit> = "" ("as inherited"),
            "size of its core dumps, in bytes";
        limit_nproc "SEGUE_LIMIT_NPROC": Option<Limit> = "" ("as inherited"),
            "processes and threads of its user";
        limit_memlock "SEGUE_LIMIT_MEMLOCK": Option<Limit> = "" ("as inherited"),
            "memory that it may lock, in bytes";
        limit_stack "SEGUE_LIMIT_STACK": Option<Limit> = "" ("as inherited"),
            "size of its main thread's stack, in bytes";
        oom_score_adjust "SEGUE_OOM_SCORE_ADJUST": Option<Score> = "" ("as inherited"),
            "how soon the kernel ends it when memory is short: -1000 never, 1000 first";
        nice "SEGUE_NICE": Option<Nice> = "" ("as inherited"),
            "its priority for the processor: -20 highest, 19 lowest";
        pre_start "SEGUE_PRE_START": Option<Hook> = "",
            "command before each generation; its failure is no start, or a rollback";
        post_stop "SEGUE_POST_STOP": Option<Hook> = "",
            "command after the last generation";
        env_files "SEGUE_ENV_FILES": Vec<PathBuf> = "",
            "dotenv files, or directories with one file per variable, read afresh for every generation";
        secrets "SEGUE_SECRETS": Vec<Secret> = "",
            "variables whose values are read from files, by segue and afresh for every generation";
        parent_death_signal "SEGUE_PARENT_DEATH_SIGNAL": Option<Signal> = "",
            "what segue itself gets when its parent ends, as if it had been sent";
    }
    "Watch" {
        watch "SEGUE_WATCH": Vec<WatchPath> = "",
            "paths whose change restarts the program: files, or directories with all below them";
        watch_ignore "SEGUE_WATCH_IGNORE": Vec<String> = "" ("built-in list and .gitignore"),
            "more patterns of what is not watched, as in a .gitignore; `!` takes one back";
        watch_debounce "SEGUE_WATCH_DEBOUNCE": Duration = "300ms",
            "quiet time after a change before anything is done";
        watch_max_delay "SEGUE_WATCH_MAX_DELAY": Duration = "5s",
            "longest wait for quiet";
        watch_backend "SEGUE_WATCH_BACKEND": WatchBackend = "auto",
            "how changes are noticed; `auto` polls where inotify is blind";
        watch_poll_interval "SEGUE_WATCH_POLL_INTERVAL": Duration = "1s",
            "time between looks where it polls";
        watch_check_interval "SEGUE_WATCH_CHECK_INTERVAL": Duration = "60s",
            "time between full comparisons where inotify tells";
        watch_action "SEGUE_WATCH_ACTION": WatchAction = "restart",
            "what a change does";
        watch_jitter "SEGUE_WATCH_JITTER": Duration = "0s",
            "longest random wait before it, so that replicas do not restart at once";
    }
    "Operation" {
        admin "SEGUE_ADMIN": Admin = "off",
            "address of the read-only HTTP endpoint";
        control "SEGUE_CONTROL": Control = "auto",
            "path of the control socket; `auto` is the first writable of `/run`, `/dev/shm`, `/tmp`";
        pid_file "SEGUE_PID_FILE": Option<PathBuf> = "",
            "written, and locked, by `segue run` and `segue start`";
        log "SEGUE_LOG": LogFilter = "info",
            "what is logged; a release build has nothing below `debug`";
        log_format "SEGUE_LOG_FORMAT": LogFormat = "auto",
            "`auto` is `text` on a terminal, else `json`";
        termination_log "SEGUE_TERMINATION_LOG": TerminationLog = "auto",
            "where the last reason is written; `auto` is `/dev/termination-log` where that exists";
        keep_env "SEGUE_KEEP_ENV": bool = "false",
            "pass `SEGUE_*` on to the program";
    }
}

/// The row of a variable, by its full name.
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted() {
        let mut faults = Vec::new();
        Raw::default().read(&mut faults).unwrap();
        assert_eq!(faults, []);
    }

    #[test]
    fn a_field_is_called_like_its_variable() {
        for (row, field) in TABLE.iter().zip(FIELDS) {
            assert_eq!(row.name, format!("SEGUE_{}", field.to_ascii_uppercase()));
        }
    }

    #[test]
    fn no_setting_has_the_shape_of_a_service_link() {
        for row in TABLE {
            assert!(!super::super::gather::is_injected(row.name.as_bytes()), "{}", row.name);
        }
    }

    #[test]
    fn every_row_says_something() {
        for row in TABLE {
            assert!(
                !row.meaning.is_empty() && !row.meaning.contains('|') && !row.accepts.is_empty(),
                "{}",
                row.name
            );
        }
    }
}
