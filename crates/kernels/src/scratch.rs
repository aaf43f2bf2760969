//! Buffers that a thread keeps from one product to the next, so that none is mapped and zeroed anew.

use std::cell::RefCell;

/// Most floats of a buffer that outlives its use.
const KEPT: usize = 1 << 23;
/// Most buffers that a thread keeps.
const BUFFERS: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Floats of a cache line.
const LINE: usize = 16;

/// Runs `f` on `n` floats that hold anything and begin a cache line.
///
/// While it runs, other work of this thread finds another buffer.
pub(crate) fn with<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < n + LINE {
        buffer = vec![0.; n + LINE];
    }
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let result = f(&mut buffer[start..start + n]);
    if buffer.len() <= KEPT {
        FREE.with_borrow_mut(|free| {
            if free.len() < BUFFERS {
                free.push(buffer);
            }
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn buffers_inside_of_each_other_are_apart() {
        let total = with(3, |a| {
            a.fill(1.);
            with(5, |b| b.fill(2.));
            with(2, |b| b.fill(3.));
            a.iter().sum::<f32>()
        });
        assert_eq!(total, 3.);
    }
}
