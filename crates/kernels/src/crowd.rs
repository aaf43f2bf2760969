//! Whether the cores are free: how many hands a piece of work is worth.
//!
//! A piece of work that takes so much processor time in so much time costs the ratio of both: on two
//! free cores half a second for a second of work, on one core at least a second. Where several threads
//! wait for each other at the end of every loop, and one of them has lost its core to another program,
//! they cost more than one thread alone. So whenever all hands cost more than one could, one hand is
//! tried, and from then on whichever costs less; the other is tried again from time to time.

use std::time::{Duration, Instant};

/// Who does a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    All,
    One,
}

/// How often the hands that cost more are tried again.
const AGAIN: Duration = Duration::from_millis(300);
/// Shorter pieces say nothing.
const SHORTEST: f64 = 2e-4;
/// Weight of the last piece in the mean of all.
const NEW: f64 = 0.3;
/// The same where it was tried again, after a time in which much may have changed.
const TRIED: f64 = 0.7;

/// What pieces of work have cost lately.
#[derive(Debug)]
pub(crate) struct Crowd {
    all: Option<f64>,
    one: Option<f64>,
    /// When the hands that cost more were last tried.
    tried: Option<Instant>,
}

impl Crowd {
    pub(crate) const fn new() -> Self {
        Self { all: None, one: None, tried: None }
    }

    /// The hands for the next piece.
    pub(crate) fn hands(&mut self, now: Instant) -> Hands {
        let Some(all) = self.all.filter(|&all| all > 1.) else {
            // one hand never costs less than this
            return Hands::All;
        };
        let (better, other) = match self.one {
            None => return Hands::One,
            Some(one) if one < all => (Hands::One, Hands::All),
            Some(_) => (Hands::All, Hands::One),
        };
        if self.tried.is_some_and(|tried| now.duration_since(tried) < AGAIN) {
            return better;
        }
        self.tried = Some(now);
        other
    }

    /// Takes note of a piece.
    pub(crate) fn learn(&mut self, hands: Hands, piece: &Stretch, now: Instant) {
        if piece.seconds < SHORTEST || piece.work <= 0. {
            return;
        }
        let cost = piece.seconds / piece.work;
        let (mean, other) = match hands {
            Hands::All => (&mut self.all, self.one),
            Hands::One => (&mut self.one, self.all),
        };
        *mean = Some(mean.map_or(cost, |mean| {
            let is_worse = other.is_some_and(|other| other < mean);
            mean + if is_worse { TRIED } else { NEW } * (cost - mean)
        }));
        if self.tried.is_none() && hands == Hands::One {
            self.tried = Some(now);
        }
    }
}

/// A piece of work that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) seconds: f64,
    /// Processor seconds of all who did it.
    pub(crate) work: f64,
}

/// The beginning of one.
pub(crate) struct Start {
    at: Instant,
    own: f64,
    all: f64,
}

impl Stretch {
    /// Nothing where the system does not tell processor times.
    pub(crate) fn start() -> Option<Start> {
        let [own, all] = processor_times()?;
        Some(Start { at: Instant::now(), own, all })
    }
}

impl Start {
    /// The piece that ends on the thread where it began. The other threads did at most what the process
    /// took besides, and no more than this one each: they do equal shares, and it takes what they leave.
    pub(crate) fn end(self, n_threads: usize) -> Option<Stretch> {
        let [own, all] = processor_times()?;
        let (own, all) = (own - self.own, all - self.all);
        let seconds = self.at.elapsed().as_secs_f64();
        Some(Stretch { seconds, work: all.min(n_threads as f64 * own) })
    }
}

/// Seconds of this thread and of this process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn processor_times() -> Option<[f64; 2]> {
    let time = |clock| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes a time where it is told to
        #[allow(unsafe_code, reason = "a system call")]
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
        (!failed).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    };
    Some([time(libc::CLOCK_THREAD_CPUTIME_ID)?, time(libc::CLOCK_PROCESS_CPUTIME_ID)?])
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn processor_times() -> Option<[f64; 2]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred pieces of a second of work, for which all hands and one need so many seconds: how often
    /// either was chosen.
    fn chosen(crowd: &mut Crowd, now: &mut Instant, all: f64, one: f64) -> [u32; 2] {
        let mut counts = [0; 2];
        for _ in 0..100 {
            let hands = crowd.hands(*now);
            counts[usize::from(hands == Hands::One)] += 1;
            let seconds = if hands == Hands::All { all } else { one };
            *now += Duration::from_millis(20);
            crowd.learn(hands, &Stretch { seconds, work: 1. }, *now);
        }
        counts
    }

    #[test]
    fn free_cores_are_used_by_all_and_crowded_ones_by_whoever_costs_less() {
        let (mut crowd, now) = (Crowd::new(), &mut Instant::now());
        assert_eq!(chosen(&mut crowd, now, 0.5, 1.), [100, 0]);
        // another program takes the cores: workers are waited for, one hand gets most of a core
        let [all, one] = chosen(&mut crowd, now, 3., 1.3);
        assert!(all < 15 && one > 85, "{all} and {one}");
        // it goes away
        let [all, one] = chosen(&mut crowd, now, 0.5, 1.);
        assert!(one < 40, "{all} and {one}");
        assert_eq!(chosen(&mut crowd, now, 0.5, 1.), [100, 0]);
        // a crowd in which all together get more than one does
        let [all, one] = chosen(&mut crowd, now, 1.2, 2.5);
        assert!(one < 12, "{all} and {one}");
    }

    #[test]
    fn a_piece_costs_its_time_for_its_work() {
        let Some(start) = Stretch::start() else { return };
        let work = (0..5_000_000u64).map(std::hint::black_box).sum::<u64>();
        let piece = start.end(2).expect("as at the start");
        assert!(work > 0 && piece.work > 0. && piece.seconds > 0.);
        // the shortest say nothing
        let mut crowd = Crowd::new();
        crowd.learn(Hands::All, &Stretch { seconds: 1e-5, work: 1e-6 }, Instant::now());
        assert_eq!(crowd.hands(Instant::now()), Hands::All);
    }
}
