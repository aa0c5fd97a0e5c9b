//! Who is measured when: the floor and a subject in turn, round by round.
//!
//! Machines are noisy, and two CPUs of a virtual one may share a cache or not, for seconds
//! to minutes at a time. So each round of a subject has a round of the floor right before
//! it, figures are compared within such pairs only, and a pair in which a cache line became
//! much dearer or cheaper is measured again. Knows phases and visits; knows no table.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::arrivals::{self, Memory, Size, Storm, Visit};
use crate::machine::Cpus;
use crate::options::Options;
use crate::phases::{self, Measured, Phase};
use crate::subjects::Subject;
use crate::system_calls;

/// How much the price of a cache line may change within a pair.
const CACHE_LINE_CHANGE_MAX: f64 = 1.5;
/// How many pairs of a phase may be measured again for that.
const ROUNDS_AGAIN_MAX: usize = 3;
/// After this long a phase gets no further rounds, if it had one.
const PHASE_WAIT: Duration = Duration::from_secs(10);
/// Descriptors that are not connections to servers.
const DESCRIPTORS_RESERVED: usize = 100;
/// Memory is counted in pages, and what a server freed before hides what it takes now: only
/// many connections tell what one costs. So many connect, and so many of them join.
const MEMORY_CLIENTS: usize = 8_000;
const MEMORY_JOINING: usize = 2_000;

/// A round of the floor and the round of a subject that came right after it.
#[derive(Debug, Clone)]
pub struct Pair<T> {
    /// What the floor gave.
    pub floor: T,
    /// What the subject gave.
    pub subject: T,
}

impl Pair<Measured> {
    /// Whether the two are comparable: a cache line cost the same throughout.
    fn is_steady(&self) -> bool {
        let lines = [&self.floor, &self.subject].map(|measured| measured.cache_line_ns);
        let lines = lines.iter().flatten().flatten();
        let (least, most) = lines.fold((f64::MAX, 0f64), |(l, m), &ns| (l.min(ns), m.max(ns)));
        most <= least * CACHE_LINE_CHANGE_MAX
    }
}

/// A phase of a subject.
#[derive(Debug)]
pub struct PhaseOutcome {
    /// Which.
    pub phase: Phase,
    /// Its rounds.
    pub pairs: Vec<Pair<Measured>>,
    /// Whether there were not enough steady ones, so that others are among them.
    pub unsteady: bool,
    /// Why there are no more.
    pub failure: Option<String>,
    /// System calls per delivery, where they can be counted.
    pub system_calls: Option<f64>,
}

/// All that was measured of a subject in a room of one size.
#[derive(Debug)]
pub struct Row {
    /// Who.
    pub subject: Subject,
    /// The phases.
    pub phases: Vec<PhaseOutcome>,
    /// The log-in storms.
    pub storms: Result<Vec<Pair<Storm>>, String>,
    /// The memory, where it was counted.
    pub memory: Option<Result<Memory, String>>,
}

/// What every measurement needs.
#[derive(Debug)]
pub struct Contest<'a> {
    /// How much of everything.
    pub options: &'a Options,
    /// Who runs where.
    pub cpus: Cpus,
    /// Where servers keep their files.
    pub scratch: &'a Path,
    /// Descriptors that we may have.
    pub descriptors: usize,
    /// When it all began, for the progress.
    pub start: Instant,
}

impl Contest<'_> {
    /// Measures the floor and all `subjects` in a room of `size`. The floor's row is first.
    ///
    /// # Errors
    /// The floor fails. What fails of a subject is in its row.
    pub fn run(&self, size: Size, subjects: &[Subject]) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut floor = self.row(Subject::Floor, size);
        let mut floor_visit =
            if self.fits_twice(size) { Some(self.open_floor(size)?) } else { None };
        if let Some(visit) = &mut floor_visit {
            self.count_system_calls(visit, size, &mut floor);
        }
        let mut rows = Vec::new();
        for &subject in subjects {
            let mut row = self.row(subject, size);
            match &mut floor_visit {
                Some(visit) => self.side_by_side(visit, size, &mut row)?,
                None => self.in_turn(size, &mut row)?,
            }
            rows.push(row);
        }
        if rows.is_empty() {
            // Nothing to compare it with: the floor against itself.
            let mut row = self.row(Subject::Floor, size);
            match &mut floor_visit {
                Some(visit) => self.side_by_side(visit, size, &mut row)?,
                None => self.in_turn(size, &mut row)?,
            }
            return Ok(vec![row]);
        }
        // The floor's own figures are those of all its rounds.
        for row in &rows {
            for (mine, theirs) in floor.phases.iter_mut().zip(&row.phases) {
                mine.unsteady |= theirs.unsteady;
                mine.pairs.extend(
                    theirs.pairs.iter().map(|pair| Pair {
                        floor: pair.floor.clone(),
                        subject: pair.floor.clone(),
                    }),
                );
            }
            if let (Ok(mine), Ok(theirs)) = (&mut floor.storms, &row.storms) {
                mine.extend(theirs.iter().map(|p| Pair { floor: p.floor, subject: p.floor }));
            }
        }
        rows.insert(0, floor);
        Ok(rows)
    }

    /// Whether `subject` starts and lets two members in.
    ///
    /// # Errors
    /// It does not.
    pub fn try_out(&self, subject: Subject) -> Result<(), Box<dyn Error>> {
        arrivals::open(subject, Size { chatting: 2, idle: 0 }, self.scratch, self.cpus).map(drop)
    }

    /// A row with what is measured before anybody speaks.
    fn row(&self, subject: Subject, size: Size) -> Row {
        let phases = self.options.phases().into_iter().map(|phase| PhaseOutcome {
            phase,
            pairs: Vec::new(),
            unsteady: false,
            failure: None,
            system_calls: None,
        });
        Row {
            subject,
            phases: phases.collect(),
            storms: self.storms(subject, size),
            memory: self.memory(subject, size),
        }
    }

    fn storms(&self, subject: Subject, size: Size) -> Result<Vec<Pair<Storm>>, String> {
        // The floor's storms come with those of the others.
        if size.idle > 0 || (subject == Subject::Floor && !self.options.subjects().is_empty()) {
            return Ok(Vec::new());
        }
        self.progress(size, subject, "log-in storm");
        let storm = |subject| {
            arrivals::storm(subject, size.chatting, self.scratch, self.cpus)
                .map_err(|error| error.to_string())
        };
        (0..self.options.storms())
            .map(|_| Ok(Pair { floor: storm(Subject::Floor)?, subject: storm(subject)? }))
            .collect()
    }

    fn memory(&self, subject: Subject, size: Size) -> Option<Result<Memory, String>> {
        let room = self.descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        let largest = self.options.clients().last() == Some(&size.chatting);
        let (clients, joining) = match size.idle {
            0 if self.options.quick || !largest => return None,
            0 => (MEMORY_CLIENTS.min(room), MEMORY_JOINING.min(room)),
            // Of idle connections nobody joins.
            _ => (size.all(), 0),
        };
        self.progress(size, subject, "memory");
        Some(
            arrivals::memory(subject, clients, joining, self.scratch, self.cpus)
                .map_err(|error| error.to_string()),
        )
    }

    fn open_floor(&self, size: Size) -> Result<Visit, Box<dyn Error>> {
        arrivals::open(Subject::Floor, size, self.scratch, self.cpus)
    }

    fn open(&self, row: &mut Row, size: Size) -> Option<Visit> {
        match arrivals::open(row.subject, size, self.scratch, self.cpus) {
            Ok(visit) => Some(visit),
            Err(error) => {
                for outcome in &mut row.phases {
                    outcome.failure.get_or_insert_with(|| error.to_string());
                }
                None
            }
        }
    }

    /// Both servers are up and both rooms full; phase by phase, their rounds alternate.
    fn side_by_side(
        &self,
        floor: &mut Visit,
        size: Size,
        row: &mut Row,
    ) -> Result<(), Box<dyn Error>> {
        let Some(mut visit) = self.open(row, size) else { return Ok(()) };
        for index in 0..row.phases.len() {
            let phase = row.phases[index].phase;
            self.progress(size, row.subject, &phase.name());
            let mut spare = Vec::new();
            let start = Instant::now();
            // A machine that never is steady must not keep us here for ever, nor a server
            // that takes long for what it was told.
            for _ in 0..self.options.rounds() + ROUNDS_AGAIN_MAX {
                let outcome = &mut row.phases[index];
                let late = start.elapsed() > PHASE_WAIT && !outcome.pairs.is_empty();
                if late || outcome.pairs.len() == self.options.rounds() {
                    break;
                }
                let of_floor = self.measure(floor, phase)?;
                match self.measure(&mut visit, phase) {
                    Ok(subject) => {
                        let pair = Pair { floor: of_floor, subject };
                        let pairs = if pair.is_steady() { &mut outcome.pairs } else { &mut spare };
                        pairs.push(pair);
                    }
                    Err(error) => {
                        // The room is in disorder: the next phase gets a new one.
                        outcome.failure = Some(format!("{error}{}", visit.server.said()));
                        drop(visit);
                        let Some(fresh) = self.open(row, size) else { return Ok(()) };
                        visit = fresh;
                        break;
                    }
                }
            }
            complete(&mut row.phases[index], spare, self.options.rounds());
        }
        self.count_system_calls(&mut visit, size, row);
        Ok(())
    }

    /// Too many connections for both: each round opens the floor, runs all phases, closes
    /// it, and then the same with the subject.
    fn in_turn(&self, size: Size, row: &mut Row) -> Result<(), Box<dyn Error>> {
        let mut spare: Vec<Vec<Pair<Measured>>> = row.phases.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.options.rounds().min(3) {
            let mut visit = self.open_floor(size)?;
            self.progress(size, Subject::Floor, "all phases");
            let mut of_floor = Vec::new();
            for outcome in &row.phases {
                of_floor.push(self.measure(&mut visit, outcome.phase)?);
            }
            drop(visit);
            let Some(mut visit) = self.open(row, size) else { return Ok(()) };
            self.progress(size, row.subject, "all phases");
            for (index, floor) in of_floor.into_iter().enumerate() {
                let outcome = &mut row.phases[index];
                match self.measure(&mut visit, outcome.phase) {
                    Ok(subject) => {
                        let pair = Pair { floor, subject };
                        let steady = pair.is_steady();
                        if steady { &mut outcome.pairs } else { &mut spare[index] }.push(pair);
                    }
                    Err(error) => {
                        outcome.failure = Some(format!("{error}{}", visit.server.said()));
                        return Ok(());
                    }
                }
            }
        }
        for (outcome, spare) in row.phases.iter_mut().zip(spare) {
            complete(outcome, spare, self.options.rounds().min(3));
        }
        Ok(())
    }

    fn measure(&self, visit: &mut Visit, phase: Phase) -> Result<Measured, Box<dyn Error>> {
        let time = self.options.time();
        Ok(phases::measure(&mut visit.crowd, &visit.server, phase, time, self.cpus)?)
    }

    /// Once more through each phase, with every system call counted: that costs, so these
    /// rounds give no other figure.
    fn count_system_calls(&self, visit: &mut Visit, size: Size, row: &mut Row) {
        if self.options.quick {
            return;
        }
        self.progress(size, row.subject, "system calls");
        for outcome in &mut row.phases {
            if outcome.failure.is_some() {
                continue;
            }
            let pid = visit.server.pid();
            let (measured, calls) = system_calls::count(pid, || self.measure(visit, outcome.phase));
            match measured {
                Ok(measured) => {
                    outcome.system_calls = calls.map(|c| c as f64 / measured.deliveries as f64);
                }
                Err(error) => {
                    outcome.failure = Some(format!("{error}{}", visit.server.said()));
                    return;
                }
            }
        }
    }

    fn fits_twice(&self, size: Size) -> bool {
        2 * size.all() + DESCRIPTORS_RESERVED <= self.descriptors
    }

    fn progress(&self, size: Size, subject: Subject, what: &str) {
        let at: Duration = self.start.elapsed();
        let idle = if size.idle > 0 { format!(" + {} idle", size.idle) } else { String::new() };
        eprintln!(
            "[{:>4} s] N = {}{idle}, {}: {what}",
            at.as_secs(),
            size.chatting,
            subject.name()
        );
    }
}

/// Fills up with pairs that were not steady.
fn complete(outcome: &mut PhaseOutcome, spare: Vec<Pair<Measured>>, rounds: usize) {
    let lacking = rounds.saturating_sub(outcome.pairs.len());
    outcome.unsteady = lacking > 0 && !spare.is_empty();
    outcome.pairs.extend(spare.into_iter().take(lacking));
}
