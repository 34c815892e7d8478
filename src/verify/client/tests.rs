//! Servers that fail in every way, each on a thread of its own, and what the client calls that.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use super::*;

/// How a server treats a connection.
type Way = fn(TcpStream);

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that treats its connections one after the other, each in its own way.
fn server(ways: Vec<Way>) -> Question {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for way in ways {
            way(listener.accept().unwrap().0);
        }
    });
    Question {
        address,
        host: address.to_string(),
        path: "/".into(),
    }
}

fn hear(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut part).unwrap();
        request.extend(&part[..count]);
        if count == 0 {
            return;
        }
    }
}

fn say(mut stream: TcpStream, answer: &str) {
    hear(&mut stream);
    stream.write_all(answer.as_bytes()).unwrap();
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Closing with a request unread makes the kernel send a reset.
fn reset(stream: TcpStream) {
    stream.peek(&mut [0]).unwrap();
}

#[test]
fn each_way_to_fail_has_its_kind() {
    let ways: [(Way, Option<Kind>); 7] = [
        (|it| say(it, ANSWER), None),
        (
            |it| say(it, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
            Some(Kind::Not2xx),
        ),
        (
            |it| say(it, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"),
            Some(Kind::Truncated),
        ),
        (
            |it| say(it, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            Some(Kind::Truncated),
        ),
        (|it| say(it, "HTTP/1.1 20"), Some(Kind::Truncated)),
        (|it| say(it, ""), Some(Kind::Truncated)),
        (reset, Some(Kind::Reset)),
    ];
    for (number, (way, kind)) in ways.into_iter().enumerate() {
        let outcome = run(server(vec![way]).ask_once());
        assert_eq!(outcome.clone().err().map(|it| it.kind), kind, "{number}: {outcome:?}");
    }
}

#[test]
fn nobody_there_is_refused() {
    let question = server(vec![]);
    // The listener goes with its thread, which has nothing to do.
    let kind = loop {
        match run(question.ask_once()) {
            Err(failure) if failure.kind == Kind::Refused => break failure.kind,
            Ok(()) | Err(_) => {}
        }
    };
    assert_eq!(kind, Kind::Refused);
}

#[test]
fn what_is_no_http_is_told_in_words() {
    let failure = run(server(vec![|it| say(it, "SSH-2.0-x\r\n")]).ask_once()).unwrap_err();
    assert!(failure.kind == Kind::Other && !failure.detail.is_empty(), "{failure:?}");
}

fn twice(mut stream: TcpStream, end: impl Fn(&mut TcpStream)) {
    hear(&mut stream);
    stream.write_all(ANSWER.as_bytes()).unwrap();
    end(&mut stream);
}

#[test]
fn a_kept_connection_that_is_closed_under_a_request_is_no_failure() {
    let ways: [Way; 2] = [|it| twice(it, hear), |it| twice(it, |it| drop(it.peek(&mut [0])))];
    for way in ways {
        let question = server(vec![way, |it| say(it, ANSWER)]);
        run(async {
            let mut link = None;
            assert_eq!(question.ask_over(&mut link).await, (Ok(()), false));
            assert_eq!(question.ask_over(&mut link).await, (Ok(()), true));
        });
    }
}

#[test]
fn one_that_is_closed_between_requests_is_opened_anew() {
    let question = server(vec![|it| say(it, ANSWER), |it| say(it, ANSWER)]);
    run(async {
        let mut link = None;
        assert_eq!(question.ask_over(&mut link).await, (Ok(()), false));
        // Unless the end came together with the answer.
        if let Some(link) = &mut link {
            link.closed().await;
        }
        assert_eq!(question.ask_over(&mut link).await, (Ok(()), false));
    });
}

#[test]
fn a_new_connection_that_fails_is_a_failure() {
    for (ways, retried) in [(vec![reset as Way], false), (vec![|it| twice(it, hear), reset], true)] {
        let question = server(ways);
        run(async {
            let mut link = None;
            if retried {
                assert_eq!(question.ask_over(&mut link).await, (Ok(()), false));
            }
            let (outcome, again) = question.ask_over(&mut link).await;
            assert_eq!((outcome.unwrap_err().kind, again), (Kind::Reset, retried));
        });
    }
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    let way: Way = |it| {
        twice(it, |it| {
            hear(it);
            it.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap();
            it.shutdown(Shutdown::Both).unwrap();
        });
    };
    let question = server(vec![way, |it| say(it, ANSWER)]);
    run(async {
        let mut link = None;
        assert_eq!(question.ask_over(&mut link).await, (Ok(()), false));
        let (outcome, again) = question.ask_over(&mut link).await;
        assert_eq!((outcome.unwrap_err().kind, again), (Kind::Truncated, false));
    });
}
