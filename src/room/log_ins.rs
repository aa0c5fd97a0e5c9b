//! Sign-ups and log-ins under way: from the frame to the verdict.
//!
//! A trial waits for its address's penalty, then for a free job, then for the verdict.
//! Meanwhile nothing further is heard from its connection. Knows jobs and verdicts. Knows
//! no thread and no database.

use std::time::Instant;

use super::attempts::Attempt;
use super::{ClientId, Effect, LogLine, Origin, Room, Stage};
use crate::accounts::{AccountId, Job, Verdict};
use crate::limits;
use crate::protocol::{Refusal, Reply, Speaker};

/// What a connection wants decided.
#[derive(Debug)]
pub(super) struct Trial {
    /// Who it is if the verdict is good. `None` for a sign-up.
    speaker: Option<Speaker>,
    attempt: Attempt,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Its address has tried too often.
    Penalty(Instant, Job),
    /// Waits for a job to end.
    Queued(Job),
    /// Waits for the verdict.
    Submitted,
}

impl Room {
    /// Begins a trial of `client`.
    pub(super) fn try_to(
        &mut self,
        client: ClientId,
        origin: Origin,
        job: Job,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let attempt = match &job {
            _ if origin.exempt => Attempt::UNCOUNTED,
            Job::LogIn(who) => self.attempts.log_in(origin.address, &who.user_name),
            Job::SignUp(_) => self.attempts.sign_up(origin.address),
        };
        let speaker = match &job {
            Job::LogIn(credentials) => Some(Speaker::with_account(credentials)),
            Job::SignUp(_) => None,
        };
        let step = Step::Queued(job);
        self.set_stage(client, Stage::OnTrial(Box::new(Trial { speaker, attempt, step })));
        self.begin_trial(client, now, out);
    }

    /// Takes the trial of `client` as far as it can go now.
    pub(super) fn begin_trial(&mut self, client: ClientId, now: Instant, out: &mut Vec<Effect>) {
        let Some(trial) = self.trial(client) else { return };
        let attempt = trial.attempt;
        let job = match std::mem::replace(&mut trial.step, Step::Submitted) {
            Step::Penalty(_, job) | Step::Queued(job) => job,
            Step::Submitted => return,
        };
        let step = if let Some(until) = self.attempts.wait_until(attempt, now) {
            self.penalties.insert((until, client));
            Step::Penalty(until, job)
        } else if self.jobs >= limits::ACCOUNT_JOBS_MAX {
            self.queue.push_back(client);
            self.queued += 1;
            self.sweep_queue();
            Step::Queued(job)
        } else {
            self.attempts.count(attempt, now);
            self.jobs += 1;
            out.push(Effect::Submit(client, job));
            return;
        };
        if let Some(trial) = self.trial(client) {
            trial.step = step;
        }
    }

    /// Begins the trials that wait for a job, as far as jobs are free.
    pub(super) fn begin_queued(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while self.jobs < limits::ACCOUNT_JOBS_MAX
            && let Some(client) = self.queue.pop_front()
        {
            if self.trial(client).is_some_and(|trial| matches!(trial.step, Step::Queued(_))) {
                self.queued -= 1;
                self.begin_trial(client, now, out);
            }
        }
    }

    /// The connection ended before the verdict.
    pub(super) fn give_up(&mut self, client: ClientId, trial: &Trial) {
        match &trial.step {
            Step::Penalty(until, _) => {
                self.penalties.remove(&(*until, client));
            }
            // Skipped when its turn comes.
            Step::Queued(_) => self.queued -= 1,
            // The verdict finds nobody, and stays counted, or cutting the line would make
            // guessing free.
            Step::Submitted => {}
        }
    }

    fn sweep_queue(&mut self) {
        if self.queue.len() > 2 * self.queued + limits::ACCOUNT_JOBS_MAX {
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain(|&client| self.trial(client).is_some());
            self.queue = queue;
        }
    }

    /// The verdict on the job of `client`, which may have gone.
    pub(super) fn verdict(
        &mut self,
        client: ClientId,
        verdict: Verdict,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        self.jobs = self.jobs.saturating_sub(1);
        if let Some(trial) = self.take_trial(client) {
            self.decide(client, trial, verdict, out);
        }
        self.begin_queued(now, out);
    }

    fn decide(&mut self, client: ClientId, trial: Trial, verdict: Verdict, out: &mut Vec<Effect>) {
        if matches!(verdict, Verdict::LoggedIn(_) | Verdict::Failed) {
            self.attempts.take_back(trial.attempt);
        }
        let refusal = match verdict {
            Verdict::LoggedIn(account) => match trial.speaker {
                Some(speaker) if self.admits(account, speaker.name()) => {
                    self.enter(client, speaker, Some(account), out);
                    out.push(Effect::Resume(client));
                    return;
                }
                _ => {
                    out.push(Effect::Reply(client, Reply::LogInRefused));
                    None
                }
            },
            Verdict::LogInRefused => {
                out.push(Effect::Reply(client, Reply::LogInRefused));
                None
            }
            Verdict::SignedUp => {
                out.push(Effect::Log(client, LogLine::AccountCreated));
                out.push(Effect::Reply(client, Reply::AccountCreated));
                None
            }
            Verdict::SignUpRefused(why) => Some(Refusal::SignUp(why)),
            Verdict::Failed => Some(Refusal::TryAgain),
        };
        // A reference client takes any byte for success, and an error for a message.
        if let Some(refusal) = refusal.filter(|_| self.speaks_lines(client)) {
            out.push(Effect::Reply(client, Reply::Error(refusal)));
        }
        self.close(client, out);
    }

    /// Takes the name if the account still exists and is not in use.
    fn admits(&mut self, account: AccountId, name: &str) -> bool {
        !self.removed.contains(&account) && self.names.take(name)
    }

    /// Who is in the room under the name that `client` is on trial for.
    pub fn rival(&self, client: ClientId) -> Option<ClientId> {
        let Stage::OnTrial(trial) = &self.guest(client)?.stage else { return None };
        let name = trial.speaker.as_ref()?.name();
        // Nearly every log-in ends here, without a look at anybody.
        if !self.names.is_taken(name) {
            return None;
        }
        let slot = self.guests.iter().position(|guest| match &guest.stage {
            Stage::InRoom(Some(speaker), _) => speaker.name() == name,
            _ => false,
        })?;
        Some(ClientId { slot: slot as u32, generation: self.guests[slot].generation })
    }

    fn trial(&mut self, client: ClientId) -> Option<&mut Trial> {
        match &mut self.guest_mut(client)?.stage {
            Stage::OnTrial(trial) => Some(trial),
            _ => None,
        }
    }

    /// Ends the trial of `client`, which is a stranger again until it is decided.
    fn take_trial(&mut self, client: ClientId) -> Option<Trial> {
        let stage = &mut self.guest_mut(client)?.stage;
        match std::mem::replace(stage, Stage::New) {
            Stage::OnTrial(trial) => Some(*trial),
            other => {
                *stage = other;
                None
            }
        }
    }

    fn speaks_lines(&self, client: ClientId) -> bool {
        self.guest(client).is_some_and(|guest| !guest.framing.is_bursts())
    }
}
