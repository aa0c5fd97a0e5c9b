//! A fake account thread: slow, failing, dying, and answering out of order.

use std::collections::{HashMap, HashSet};

use chinwag::accounts::{AccountId, Credentials, Job, PasswordChange, SignUpRefusal, Verdict};
use chinwag::room::ClientId;

use super::rng::Rng;

#[derive(Debug, Default)]
pub struct Worker {
    /// User name to name, password and key.
    pub accounts: HashMap<String, (String, String, AccountId)>,
    /// User names that were ever given away.
    given: HashSet<String>,
    next: i64,
    jobs: Vec<(ClientId, Job)>,
    /// Verdicts on their way to the server.
    pub verdicts: Vec<(ClientId, Verdict)>,
    /// Refuses everything until it is restored.
    pub dead: bool,
    /// Jobs handed over whose verdicts the server has not taken in.
    pub outstanding: usize,
}

impl Worker {
    pub fn add(&mut self, name: &str, user_name: &str, password: &str) -> AccountId {
        self.next += 1;
        self.given.insert(user_name.into());
        let id = AccountId(self.next);
        self.accounts.insert(user_name.into(), (name.into(), password.into(), id));
        id
    }

    pub fn has_had(&self, user_name: &str) -> bool {
        self.given.contains(user_name)
    }

    pub fn submit(&mut self, client: ClientId, job: Job) {
        self.outstanding += 1;
        assert!(self.outstanding <= chinwag::limits::ACCOUNT_JOBS_MAX, "too many jobs under way");
        match self.dead {
            true => self.verdicts.push((client, Verdict::Failed)),
            false => self.jobs.push((client, job)),
        }
    }

    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Decides one job, any of them; `failing`: or not.
    pub fn work(&mut self, rng: &mut Rng, failing: bool) {
        if self.jobs.is_empty() {
            return;
        }
        let index = rng.below(self.jobs.len());
        let (client, job) = self.jobs.swap_remove(index);
        let verdict = if failing { Verdict::Failed } else { self.decide(job) };
        let index = rng.below(self.verdicts.len() + 1);
        self.verdicts.insert(index, (client, verdict));
    }

    /// Every job at hand fails.
    pub fn die(&mut self) {
        self.dead = true;
        self.verdicts.extend(self.jobs.drain(..).map(|(client, _)| (client, Verdict::Failed)));
    }

    fn decide(&mut self, job: Job) -> Verdict {
        match job {
            Job::ChangePassword(PasswordChange { account, current, new }) => {
                let held = self.accounts.values_mut().find(|(_, _, id)| *id == account);
                match held {
                    Some((_, password, _)) if *password == *current => {
                        password.clone_from(&new);
                        Verdict::PasswordChanged
                    }
                    _ => Verdict::PasswordRefused,
                }
            }
            Job::LogIn(Credentials { name, user_name, password }) => {
                match self.accounts.get(&user_name) {
                    Some((n, p, id)) if *n == name && *p == *password => Verdict::LoggedIn(*id),
                    _ => Verdict::LogInRefused,
                }
            }
            Job::SignUp(Credentials { name, user_name, password }) => {
                if self.accounts.contains_key(&user_name) {
                    return Verdict::SignUpRefused(SignUpRefusal::UserNameTaken);
                }
                if self.accounts.values().any(|(n, ..)| *n == name) {
                    return Verdict::SignUpRefused(SignUpRefusal::NameTaken);
                }
                self.add(&name, &user_name, &password);
                Verdict::SignedUp
            }
        }
    }
}
