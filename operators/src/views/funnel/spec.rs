//! What a funnel computes. `SPEC.md` beside this file says what each option means.

use std::sync::Arc;

use crate::model::{Matches, Micros};
use crate::views::predicate::PropertyFilter;
use crate::views::spec::{Period, SessionsSpec};

/// Steps of a funnel at most: the steps that an event takes are bits of one word.
pub const STEPS_MAX: usize = 30;
/// Exclusions of a funnel at most, for the same reason.
pub const EXCLUSIONS_MAX: usize = 30;
/// Values of a breakdown that have rows of their own at most; the others are one.
pub const BREAKDOWN_VALUES_MAX: usize = 1000;
/// Values of a breakdown that have rows of their own unless the job says otherwise, as in PostHog.
pub const BREAKDOWN_VALUES: usize = 25;
/// The longest window: 400 days, the default `history`.
pub const WINDOW_MAX: Micros = 400 * crate::model::DAY;
/// The breakdown value of the rows for all values beyond the limit.
pub const OTHER: &str = "$other";

/// In which order steps have to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// One after the other; other events may stand between.
    #[default]
    Ordered,
    /// One directly after the other.
    Strict,
    /// In any order.
    Unordered,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Counting {
    /// A person once per entry period.
    #[default]
    Uniques,
    /// Every attempt: the next begins when one has ended.
    Totals,
    /// A session once; a chain ends with the session of its entry.
    Sessions(SessionsSpec),
}

/// Whose value of the breakdown counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Attribution {
    /// The first event of a chain that has a value.
    #[default]
    FirstTouch,
    /// The last event of a chain that has a value.
    LastTouch,
    /// All events of a chain have the same value.
    AllEvents,
    /// The event that took this step, from 0.
    Step(usize),
}

/// A condition on a trait of the person.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TraitFilter {
    /// The trait, as a property that identify events carry, and the condition.
    pub filter: PropertyFilter,
    /// The value as of the event; otherwise the last of all.
    pub at_event: bool,
}

/// A full condition on an event and its person.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Filter {
    /// The part that follows from the event alone: an index into the job's predicates.
    pub predicate: usize,
    /// The part that follows from the person. Not for funnels of groups.
    pub traits: Vec<TraitFilter>,
}

impl Filter {
    /// A filter without conditions on the person.
    pub fn of(predicate: usize) -> Self {
        Self { predicate, traits: Vec::new() }
    }
}

/// A step of a funnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunnelStep {
    /// What the `event` column shows for the step.
    pub label: Arc<str>,
    /// Which events take the step.
    pub filter: Filter,
    /// Whether a chain may go on without it. Neither the first nor the last step, and none of an
    /// unordered funnel.
    pub optional: bool,
    /// The step is taken only by the person's first event ever that satisfies this.
    pub first: Option<Filter>,
}

impl FunnelStep {
    /// A step that has to be taken.
    pub fn required(label: &str, predicate: usize) -> Self {
        let filter = Filter::of(predicate);
        Self { label: label.into(), filter, optional: false, first: None }
    }
}

/// An event that must not come between two steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// Which events.
    pub filter: Filter,
    /// After this step, from 0.
    pub from: usize,
    /// Before this one; greater than `from`.
    pub to: usize,
}

/// Who is in another view: people (or groups) that got to a step of a funnel, or people whom a
/// trend counts. As of now, like a trait.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cohort {
    /// What members are shown under.
    pub label: Arc<str>,
    /// Index of the other view's specification, less than that of the funnel that asks.
    pub view: u16,
    /// The step that members have reached, from 0; 0 for a trend.
    pub step: usize,
}

/// By what a funnel is broken down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BreakdownBy {
    /// Whether somebody is in another view.
    Cohort(Cohort),
    /// The event's channel.
    Channel,
    /// A property of the event.
    Property(usize),
    /// A trait of the person, as of the event or as of now.
    Trait {
        /// The property that identify events carry.
        property: usize,
        /// The value as of the event; otherwise the last of all.
        at_event: bool,
    },
}

/// `kind = "funnel"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunnelSpec {
    /// Name of the view without `funnel_`.
    pub name: Arc<str>,
    /// The steps: two to [`STEPS_MAX`].
    pub steps: Vec<FunnelStep>,
    /// In which order they have to be taken.
    pub order: Order,
    /// The conversion window from the entry, inclusive.
    pub window: Micros,
    /// The entry periods that rows are given for.
    pub periods: Vec<Period>,
    /// What must not come between; at most [`EXCLUSIONS_MAX`].
    pub exclusions: Vec<Exclusion>,
    /// What is counted.
    pub counting: Counting,
    /// The property that names the group, if groups are counted instead of people.
    pub group: Option<usize>,
    /// Properties that all events of a chain must have in common.
    pub hold: Vec<usize>,
    /// By what it is broken down; several values stand together as a list.
    pub breakdown: Vec<BreakdownBy>,
    /// Whose value of the breakdown counts.
    pub attribution: Attribution,
    /// Values that have rows of their own at most.
    pub values_max: usize,
}

impl FunnelSpec {
    /// An ordered funnel of unique people, all else as PostHog's defaults are.
    pub fn new(name: &str, steps: Vec<FunnelStep>, window: Micros) -> Self {
        Self {
            name: name.into(),
            steps,
            order: Order::default(),
            window,
            periods: vec![Period::All, Period::Day, Period::Week, Period::Month],
            exclusions: Vec::new(),
            counting: Counting::default(),
            group: None,
            hold: Vec::new(),
            breakdown: Vec::new(),
            attribution: Attribution::default(),
            values_max: BREAKDOWN_VALUES,
        }
    }

    /// What the `event` column shows for a step.
    pub fn label(&self, step: usize) -> Arc<str> {
        match (self.order, step) {
            (Order::Unordered, 0) => "Completed 1 step".into(),
            (Order::Unordered, _) => format!("Completed {} steps", step + 1).into(),
            _ => Arc::clone(&self.steps[step].label),
        }
    }

    /// The last step before a step that has to be taken; times and conversions are from there.
    pub fn previous(&self, step: usize) -> Option<usize> {
        (0..step).rev().find(|s| !self.steps[*s].optional)
    }

    /// All conditions on events.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        let steps = self.steps.iter().flat_map(|s| std::iter::once(&s.filter).chain(&s.first));
        steps.chain(self.exclusions.iter().map(|e| &e.filter))
    }

    /// The cohorts it is broken down by.
    pub fn cohorts(&self) -> impl Iterator<Item = &Cohort> {
        self.breakdown.iter().filter_map(|by| match by {
            BreakdownBy::Cohort(cohort) => Some(cohort),
            _ => None,
        })
    }

    /// The predicates of all its conditions: an event that has none of them takes no step and is
    /// not excluded.
    pub fn mask(&self) -> Matches {
        let mut mask = Matches::default();
        self.filters().for_each(|filter| mask.set(filter.predicate));
        mask
    }

    /// The moment from which on no event makes a difference to the counts of a period that ends at
    /// `end`: [`Micros::MAX`] if there is none.
    ///
    /// An entry sees no further than its window. The best entry of a session may still become a
    /// later one, in another period, while the session goes on. What depends on a person as of now
    /// may change with any event.
    pub fn final_at(&self, end: Micros) -> Micros {
        if self.cohorts().next().is_some() || self.traits().iter().any(|(_, at_event)| !at_event) {
            return Micros::MAX;
        }
        let reach = match self.counting {
            Counting::Uniques | Counting::Totals => self.window,
            Counting::Sessions(sessions) => self.window.max(sessions.cap),
        };
        end.saturating_add(reach)
    }

    /// The traits it depends on, each with whether as of the event.
    pub fn traits(&self) -> Vec<(usize, bool)> {
        let filters = self.filters().flat_map(|f| &f.traits);
        let mut list: Vec<(usize, bool)> =
            filters.map(|t| (t.filter.property(), t.at_event)).collect();
        list.extend(self.breakdown.iter().filter_map(|by| match by {
            BreakdownBy::Trait { property, at_event } => Some((*property, *at_event)),
            _ => None,
        }));
        list.sort_unstable();
        list.dedup();
        list
    }
}
