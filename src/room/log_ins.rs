//! Sign-ups, log-ins and changed passwords under way: from the frame to the verdict.
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
    purpose: Purpose,
    attempt: Attempt,
    step: Step,
}

#[derive(Debug)]
enum Purpose {
    SignUp,
    /// Who it is if the verdict is good.
    LogIn(Speaker),
    ChangePassword,
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
    /// Begins a trial of `client`. `user`: whose password could be guessed by trying.
    pub(super) fn try_to(
        &mut self,
        client: ClientId,
        origin: Origin,
        job: Job,
        user: &str,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let attempt = match &job {
            _ if origin.exempt => Attempt::UNCOUNTED,
            Job::LogIn(_) | Job::ChangePassword(_) => self.attempts.log_in(origin.address, user),
            Job::SignUp(_) => self.attempts.sign_up(origin.address),
        };
        let purpose = match &job {
            Job::LogIn(credentials) => Purpose::LogIn(Speaker::with_account(credentials)),
            Job::SignUp(_) => Purpose::SignUp,
            Job::ChangePassword(_) => Purpose::ChangePassword,
        };
        // Who is in the room goes on to hear it; what it says meanwhile waits.
        if !self.has(client) {
            self.set_stage(client, Stage::OnTrial);
        }
        let trial = Trial { purpose, attempt, step: Step::Queued(job) };
        self.trials.insert(client, Box::new(trial));
        self.begin_trial(client, now, out);
    }

    /// Takes the trial of `client` as far as it can go now.
    pub(super) fn begin_trial(&mut self, client: ClientId, now: Instant, out: &mut Vec<Effect>) {
        let Some(trial) = self.trials.get_mut(&client) else { return };
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
        if let Some(trial) = self.trials.get_mut(&client) {
            trial.step = step;
        }
    }

    /// Begins the trials that wait for a job, as far as jobs are free.
    pub(super) fn begin_queued(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while self.jobs < limits::ACCOUNT_JOBS_MAX
            && let Some(client) = self.queue.pop_front()
        {
            let trial = self.trials.get(&client);
            if trial.is_some_and(|trial| matches!(trial.step, Step::Queued(_))) {
                self.queued -= 1;
                self.begin_trial(client, now, out);
            }
        }
    }

    /// The connection ended, or is to be closed, before the verdict.
    pub(super) fn give_up(&mut self, client: ClientId) {
        let Some(trial) = self.end_trial(client) else { return };
        match trial.step {
            Step::Penalty(until, _) => {
                self.penalties.remove(&(until, client));
            }
            // Skipped when its turn comes.
            Step::Queued(_) => self.queued -= 1,
            // The verdict finds nobody, and stays counted, or cutting the line would make
            // guessing free.
            Step::Submitted => {}
        }
    }

    fn end_trial(&mut self, client: ClientId) -> Option<Trial> {
        let trial = self.trials.remove(&client)?;
        if self.trials.is_empty() {
            // A storm of log-ins must not leave its table behind.
            self.trials.shrink_to(limits::ACCOUNT_JOBS_MAX);
        }
        Some(*trial)
    }

    fn sweep_queue(&mut self) {
        if self.queue.len() > 2 * self.queued + limits::ACCOUNT_JOBS_MAX {
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain(|client| self.trials.contains_key(client));
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
        if let Some(trial) = self.end_trial(client) {
            match trial.purpose {
                Purpose::ChangePassword => self.password_changed(client, &trial, verdict, out),
                Purpose::SignUp | Purpose::LogIn(_) => self.decide(client, trial, verdict, out),
            }
        }
        self.begin_queued(now, out);
    }

    fn decide(&mut self, client: ClientId, trial: Trial, verdict: Verdict, out: &mut Vec<Effect>) {
        // A stranger again until it is decided.
        self.set_stage(client, Stage::New);
        if matches!(verdict, Verdict::LoggedIn(_) | Verdict::Failed) {
            self.attempts.take_back(trial.attempt);
        }
        let refusal = match (verdict, trial.purpose) {
            (Verdict::LoggedIn(account), Purpose::LogIn(speaker)) => {
                if self.admits(account, client, speaker.name()) {
                    self.enter(client, speaker, Some(account), out);
                    out.push(Effect::Resume(client));
                    return;
                }
                out.push(Effect::Reply(client, Reply::LogInRefused));
                None
            }
            (Verdict::LogInRefused, _) => {
                out.push(Effect::Reply(client, Reply::LogInRefused));
                None
            }
            (Verdict::SignedUp, _) => {
                out.push(Effect::Log(client, LogLine::AccountCreated));
                out.push(Effect::Reply(client, Reply::AccountCreated));
                None
            }
            (Verdict::SignUpRefused(why), _) => Some(Refusal::SignUp(why)),
            // The others are no answer to this.
            (
                Verdict::Failed
                | Verdict::LoggedIn(_)
                | Verdict::PasswordChanged
                | Verdict::PasswordRefused,
                _,
            ) => Some(Refusal::TryAgain),
        };
        // A reference client takes any byte for success, and an error for a message.
        if let Some(refusal) = refusal.filter(|_| self.speaks_lines(client)) {
            out.push(Effect::Reply(client, Reply::Error(refusal)));
        }
        self.close(client, out);
    }

    fn password_changed(
        &mut self,
        client: ClientId,
        trial: &Trial,
        verdict: Verdict,
        out: &mut Vec<Effect>,
    ) {
        if verdict != Verdict::PasswordRefused {
            self.attempts.take_back(trial.attempt);
        }
        let reply = match verdict {
            Verdict::PasswordChanged => Reply::PasswordChanged,
            Verdict::PasswordRefused => Reply::Error(Refusal::WrongPassword),
            _ => Reply::Error(Refusal::TryAgain),
        };
        out.push(Effect::Reply(client, reply));
        out.push(Effect::Resume(client));
    }

    /// Takes the name if the account still exists, is not banned and not in use.
    fn admits(&mut self, account: AccountId, client: ClientId, name: &str) -> bool {
        let welcome = !self.removed.contains(&account) && !self.is_banned(name);
        welcome && self.names.take(name, client.slot)
    }

    /// Who is in the room under the name that `client` is on trial for.
    pub fn rival(&self, client: ClientId) -> Option<ClientId> {
        let Purpose::LogIn(speaker) = &self.trials.get(&client)?.purpose else { return None };
        self.find(speaker.name()).filter(|&rival| self.name_of(rival) == Some(speaker.name()))
    }

    fn speaks_lines(&self, client: ClientId) -> bool {
        self.guest(client).is_some_and(|guest| !guest.framing.is_bursts())
    }
}
