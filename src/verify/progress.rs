//! SHOWS how far it has come, on stderr: one line that is drawn anew where that is a terminal, else a line per restart.

use std::io::Write;

/// As wide as the bar is.
const WIDTH: u32 = 20;
/// To the left edge, and nothing to the right of it.
const CLEAR: &str = "\r\x1b[K";

/// What is shown.
pub(super) struct Progress {
    out: Box<dyn Write>,
    terminal: bool,
    drawn: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    /// Restarts that have come out, and all.
    pub(super) restarts: (u32, u32),
    /// Requests that are over, and those of them that failed.
    pub(super) requests: (u64, u64),
}

impl Progress {
    pub(super) fn new(out: Box<dyn Write>, terminal: bool) -> Progress {
        Progress {
            out,
            terminal,
            drawn: false,
        }
    }

    /// Draws the bar, where there is one.
    pub(super) fn draw(&mut self, stage: Stage) {
        if self.terminal {
            self.drawn = true;
            self.write(&format!("{CLEAR}{}", bar(stage)));
        }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, line: &str) {
        self.clear();
        self.write(&format!("{line}\n"));
    }

    /// A line that stands for the bar where there is none.
    pub(super) fn step(&mut self, line: &str) {
        if !self.terminal {
            self.line(&format!("segue verify: {line}"));
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write(CLEAR);
        }
    }

    fn write(&mut self, text: &str) {
        // Who has closed stderr does not want to know.
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

fn bar(stage: Stage) -> String {
    let (done, all) = stage.restarts;
    let filled = WIDTH * done.min(all) / all.max(1);
    let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
    let (requests, failed) = stage.requests;
    format!("[{bar}] {done} of {all} restarts, {requests} requests, {failed} failed")
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Rc<RefCell<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn shown(terminal: bool) -> String {
        let screen = Screen::default();
        let mut progress = Progress::new(Box::new(screen.clone()), terminal);
        progress.draw(Stage {
            restarts: (1, 4),
            requests: (700, 2),
        });
        progress.line("hello");
        progress.step("step");
        progress.clear();
        String::from_utf8(screen.0.take()).unwrap()
    }

    #[test]
    fn a_terminal_has_a_bar_that_makes_way() {
        assert_eq!(
            shown(true),
            "\r\x1b[K[#####...............] 1 of 4 restarts, 700 requests, 2 failed\r\x1b[Khello\n"
        );
    }

    #[test]
    fn a_file_has_lines() {
        assert_eq!(shown(false), "hello\nsegue verify: step\n");
    }
}
