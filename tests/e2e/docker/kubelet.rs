//! Plays the kubelet against real containers: probes, endpoints that are removed late, preStop, TERM and TERM again, SIGKILL at
//! the end of the grace period; and a rolling update of three of them under load, in which no request fails.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::support::{
    client::{self, Load},
    docker::{Container, RESTRICTED, docker, empty_image, is_there, run},
    hello, wait,
};

/// So late an endpoint that is going away is taken off the balancer.
const LAG: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_millis(100);
/// terminationGracePeriodSeconds.
const GRACE: Duration = Duration::from_secs(15);

/// A container of the Deployment.
struct Pod {
    container: Container,
    admin: SocketAddr,
    service: SocketAddr,
}

impl Pod {
    fn start(settings: &[&str], program: &[&str]) -> Pod {
        let segue = env!("CARGO_BIN_EXE_segue");
        let mut options: Vec<String> = RESTRICTED.iter().map(|it| (*it).to_owned()).collect();
        options.push(format!("--volume={segue}:/segue:ro"));
        options.push(format!("--volume={}:/hello:ro", hello().display()));
        let more = [
            "--entrypoint=/segue",
            "--publish=127.0.0.1::8080",
            "--publish=127.0.0.1::9000",
        ];
        options.extend(more.map(str::to_owned));
        options.push("--env=SEGUE_ADMIN=:9000".into());
        options.extend(settings.iter().map(|it| format!("--env={it}")));
        let container = Container::start(&options, empty_image(), program);
        Pod {
            admin: container.address(9000),
            service: container.address(8080),
            container,
        }
    }

    /// A probe, as the kubelet makes it: 200 to 399 is success, a second is too long.
    fn probe(&self, path: &str) -> bool {
        client::get(self.admin, path).is_ok()
    }

    /// Until startup and readiness probes succeed.
    fn wait_until_ready(&self) {
        wait::until("startupz", || self.probe("/startupz").then_some(()));
        wait::until("readyz", || self.probe("/readyz").then_some(()));
    }

    fn is_running(&self) -> bool {
        docker(["inspect", "--format={{.State.Running}}", &self.container.name]) == "true"
    }

    /// What the kubelet does when a pod is deleted; `true` if it had to send SIGKILL.
    fn terminate(&self, pre_stop: Option<&[&str]>) -> bool {
        let begin = Instant::now();
        if let Some(words) = pre_stop {
            let hook = run(["exec", &self.container.name].iter().chain(words));
            assert!(hook.status.success(), "{}", String::from_utf8_lossy(&hook.stderr));
        }
        self.container.signal("TERM");
        // kubelet and engine repeat themselves, and that is no escalation.
        run(["kill", "--signal=TERM", &self.container.name]);
        while self.is_running() {
            if begin.elapsed() > GRACE {
                self.container.signal("KILL");
                return true;
            }
            pause();
        }
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "the period of what is played")]
fn pause() {
    thread::sleep(PERIOD);
}

/// Sends each connection to one of the endpoints, in turns.
struct Balancer {
    address: SocketAddr,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    fn start() -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints = Arc::new(Mutex::new(Vec::<SocketAddr>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&endpoints), Arc::clone(&stop));
        let next = AtomicUsize::new(0);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let chosen = {
                    let endpoints = shared.lock().unwrap();
                    let at = next.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
                    endpoints.get(at).copied()
                };
                let Ok(client) = client else { continue };
                thread::spawn(move || join(client, chosen));
            }
        });
        Balancer {
            address,
            endpoints,
            stop,
            thread: Some(thread),
        }
    }

    fn add(&self, pod: &Pod) {
        self.endpoints.lock().unwrap().push(pod.service);
    }

    fn remove(&self, service: SocketAddr) {
        self.endpoints.lock().unwrap().retain(|it| *it != service);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Both ways, until both ends have said all; a server that cannot be reached is a client's failure.
fn join(client: TcpStream, server: Option<SocketAddr>) -> io::Result<()> {
    let server = TcpStream::connect(server.ok_or(io::ErrorKind::NotFound)?)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || pass(from, to));
    let down = pass(server, client);
    let up = up.join().map_err(|_| io::ErrorKind::Other)?;
    up?;
    down
}

fn pass(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut part = [0; 16 * 1024];
    loop {
        match from.read(&mut part)? {
            0 => return to.shutdown(Shutdown::Write),
            count => to.write_all(&part[..count])?,
        }
    }
}

/// Three pods are replaced one by one; nothing that a client asked for fails.
fn rolling_update(settings: &[&str], pre_stop: Option<&[&str]>) {
    let balancer = Balancer::start();
    let start = || {
        let pod = Pod::start(settings, &["--", "/hello"]);
        pod.wait_until_ready();
        balancer.add(&pod);
        pod
    };
    let old: Vec<Pod> = (0..3).map(|_| start()).collect();
    let load = Load::start(balancer.address, "/", 4);
    load.more(50);
    let mut new = Vec::new();
    for pod in &old {
        new.push(start());
        thread::scope(|scope| {
            // The endpoint goes away some time after the pod was told to.
            let service = pod.service;
            let endpoints = &balancer;
            scope.spawn(move || {
                for _ in 0..LAG.as_millis() / PERIOD.as_millis() {
                    pause();
                }
                endpoints.remove(service);
            });
            let begin = Instant::now();
            let liveness = scope.spawn(move || {
                // Until it ends, a pod that stops is alive: its liveness probe never fails while it answers at all.
                let mut asked = 0;
                while begin.elapsed() < LAG {
                    assert!(pod.probe("/livez"), "not live after {:?}", begin.elapsed());
                    asked += 1;
                    pause();
                }
                asked
            });
            let readiness =
                scope.spawn(move || wait::until("it is not ready", || (!pod.probe("/readyz")).then_some(())));
            assert!(
                !pod.terminate(pre_stop),
                "it had to be killed:\n{:?}",
                pod.container.log()
            );
            assert!(
                begin.elapsed() >= LAG && begin.elapsed() < GRACE,
                "{:?}",
                begin.elapsed()
            );
            assert!(liveness.join().unwrap() > 3);
            readiness.join().unwrap();
        });
        assert_eq!(pod.container.code(), 0);
        load.more(50);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert!(tally.succeeded >= 200, "{tally}");
    for pod in &new {
        assert!(pod.probe("/readyz"));
    }
}

#[test]
fn a_rolling_update_with_a_drain_delay_fails_no_request() {
    if !is_there() {
        return;
    }
    rolling_update(&["SEGUE_DRAIN_DELAY=4s", "SEGUE_STOP_TIMEOUT=10s"], None);
}

#[test]
fn a_rolling_update_with_pre_stop_fails_no_request() {
    if !is_there() {
        return;
    }
    let pre_stop = ["/segue", "drain", "--wait", "5s"];
    rolling_update(&["SEGUE_DRAIN_DELAY=4s", "SEGUE_STOP_TIMEOUT=10s"], Some(&pre_stop));
}

/// Segue's own deadline comes before the kubelet's, so that it can say what was cut.
#[test]
fn a_program_that_does_not_end_is_killed_by_segue_before_the_grace_period() {
    if !is_there() {
        return;
    }
    let settings = [
        "HELLO_NAIVE=1",
        "SEGUE_DRAIN=connections",
        "SEGUE_STOP_TIMEOUT=3s",
        "SEGUE_DRAIN_TIMEOUT=2s",
    ];
    let pod = Pod::start(&settings, &["--", "/hello"]);
    pod.wait_until_ready();
    let mut slow = TcpStream::connect(pod.service).unwrap();
    write!(slow, "GET /slow?ms=60000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    wait::until("it is busy", || {
        let metrics = client::get(pod.admin, "/metrics").ok()?;
        let busy = "segue_connections{state=\"busy\",generation=\"serving\"} 1";
        metrics.lines().any(|line| line == busy).then_some(())
    });
    assert!(!pod.terminate(None), "the kubelet had to kill it");
    let cut = pod.container.line("connections cut at the deadline", 1);
    assert_eq!(cut["cut"], 1, "{cut}");
}
