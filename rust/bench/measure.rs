// SPDX-License-Identifier: GPL-2.0

//! Times two implementations of the same work, alternately.

use kernel::{
    fmt,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    },
};

/// Minimal duration of a slice of the slower side, in nanoseconds.
const SLICE: i64 = 1_000_000;

/// Slices of each side in a round. The fastest one counts, because other load can only make a slice
/// slower.
const SLICES: usize = 10;

/// The result of a comparison: the time of each round, in nanoseconds.
pub(super) struct Times {
    iterations: usize,
    shadow: KVec<i64>,
    host: KVec<i64>,
}

/// Runs `once` `n` times; returns the duration in nanoseconds, and the work done.
#[inline(never)]
fn time(n: usize, once: &mut impl FnMut() -> Result<usize>) -> Result<(i64, usize)> {
    let mut work = 0;
    let start = Instant::<Monotonic>::now();
    for _ in 0..n {
        work += once()?;
    }
    Ok((start.elapsed().as_nanos(), work))
}

/// Times `shadow` and `host` in `rounds` rounds of [`SLICES`] slices. In a slice both run equally
/// often; the slower one takes [`SLICE`] or longer.
///
/// Both return the amount of work that they did, which must be equal and not 0.
///
/// # Errors
///
/// Those of `shadow` and `host`; `EINVAL` if their work differs; `ENOMEM`.
pub(super) fn compare(
    rounds: usize,
    mut shadow: impl FnMut() -> Result<usize>,
    mut host: impl FnMut() -> Result<usize>,
) -> Result<Times> {
    let mut iterations = 1;
    loop {
        let (of_shadow, work) = time(iterations, &mut shadow)?;
        let (of_host, same) = time(iterations, &mut host)?;
        if work == 0 || work != same {
            pr_err!("bench: the shadow did {work} units of work, the host {same}\n");
            return Err(EINVAL);
        }
        let slower = of_shadow.max(of_host);
        if slower >= SLICE {
            break;
        }
        // Increase in small steps, because the first iterations run with cold caches.
        let factor = (SLICE / slower.max(1) + 1).clamp(2, 10);
        iterations = iterations.saturating_mul(usize::try_from(factor).unwrap_or(2));
    }
    let mut times = Times {
        iterations,
        shadow: KVec::with_capacity(rounds, GFP_KERNEL)?,
        host: KVec::with_capacity(rounds, GFP_KERNEL)?,
    };
    for _ in 0..rounds {
        let (mut of_shadow, mut of_host) = (i64::MAX, i64::MAX);
        for _ in 0..SLICES {
            of_shadow = of_shadow.min(time(iterations, &mut shadow)?.0);
            of_host = of_host.min(time(iterations, &mut host)?.0);
        }
        times.shadow.push(of_shadow, GFP_KERNEL)?;
        times.host.push(of_host, GFP_KERNEL)?;
    }
    Ok(times)
}

/// Prints the fields of a JSON object.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"iterations\":{}", self.iterations)?;
        for (name, times) in [("shadow", &self.shadow), ("host", &self.host)] {
            let mut before = '[';
            write!(f, ",\"{name}\":")?;
            for time in times {
                write!(f, "{before}{time}")?;
                before = ',';
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

#[cfg(shadow_rmap_kunit)]
#[kunit_tests(shadow_rmap_bench)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// Both sides run equally often, and the report has a time for each side and round.
    #[test]
    fn both_sides_run_equally_often() -> Result {
        let (shadow, host) = (Cell::new(0), Cell::new(0));
        let times = compare(3, || count(&shadow), || count(&host))?;
        let report = kernel::str::CString::try_from_fmt(fmt!("{times}"))?;

        assert_eq!(shadow.get(), host.get());
        assert!(times.shadow.len() == 3 && times.host.len() == 3);
        assert!(times.shadow.iter().all(|&time| time > 0));
        assert!(report.to_bytes().starts_with(b"\"iterations\":"));
        Ok(())
    }

    /// Different work is refused, and an error ends the measurement.
    #[test]
    fn unequal_work_is_refused() -> Result {
        let unequal = compare(1, || Ok(1), || Ok(2)).err();
        let nothing = compare(1, || Ok(0), || Ok(0)).err();
        let failing = compare(1, || Ok(1), || Err(ENOMEM)).err();

        assert!(unequal == Some(EINVAL) && nothing == Some(EINVAL));
        assert!(failing == Some(ENOMEM));
        Ok(())
    }

    fn count(calls: &Cell<usize>) -> Result<usize> {
        calls.set(calls.get() + 1);
        Ok(1)
    }
}
