//! Work that cannot be asked to stop, such as the factors of a matrix, done beside the thread that can.
use std::{
    panic,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{Result, event::Control};

/// How long a wish to stop may stay unheard.
const STEP: Duration = Duration::from_millis(50);

/// What `work` gives. Where the run has to stop it is left to itself: it holds nothing of the run, and ends
/// with the program.
///
/// # Errors
/// [`engine::Error::Interrupted`] where the run has to stop first.
pub(crate) fn aside<T: Send + 'static>(
    control: &Control<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new().name("aside".to_owned());
    // nobody listens any more where the run has stopped
    let thread = thread.spawn(move || drop(done.send(work())));
    let thread = thread.map_err(files::at("start a thread in", Path::new(".")))?;
    loop {
        match result.recv_timeout(STEP) {
            Ok(found) => return Ok(found),
            Err(RecvTimeoutError::Timeout) => control.checkpoint()?,
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panicked) => panic::resume_unwind(panicked),
                Ok(()) => unreachable!("it sends before it ends"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Instant,
    };

    use super::*;
    use engine::{Error, Silent};

    #[test]
    fn work_gives_its_result_or_is_left_to_itself() {
        let (stop, mut observer) = (AtomicBool::new(false), Silent);
        let control = Control::new(&mut observer, &stop);
        assert_eq!(aside(&control, || 6 * 7).unwrap(), 42);
        stop.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let left = aside(&control, || thread::sleep(Duration::from_secs(30)));
        assert!(matches!(left, Err(crate::Error::Engine(Error::Interrupted))));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    #[should_panic(expected = "as it was said")]
    fn its_panic_is_the_callers() {
        let (stop, mut observer) = (AtomicBool::new(false), Silent);
        let control = Control::new(&mut observer, &stop);
        let _ = aside(&control, || panic!("as it was said"));
    }
}
