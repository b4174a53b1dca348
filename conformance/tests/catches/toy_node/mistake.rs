//! What a small node may get wrong.

/// What it may get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    /// Loads that an invalidation overtook are kept.
    NoFence,
    /// Those that one by tag overtook are.
    NoFenceByTag,
    /// Those that one of the whole cache overtook are.
    NoFenceByClear,
    /// Those that an entry of the log overtook are.
    LogDoesNotFence,
    /// Those that a flush overtook are.
    FlushDoesNotFence,
    /// A read of an entry extends its life.
    SlidingTtl,
    /// The lease counts from the end of the log read.
    LeaseFromTheEnd,
    /// A strict read is satisfied by a log read that was under way.
    SharesReadBegun,
    /// A strict read is satisfied by the lease of a bounded one.
    StrictIsBounded,
    /// Without the log, what is held is served all the same.
    ServesStale,
    /// Without the log, everything is dropped.
    DropsAllWithoutLog,
    /// The log is written and never read.
    NeverPolls,
    /// A read of the log that fails is the last one.
    StopsPollingAfterAFailure,
    /// After a read of the log that fails it pauses for longer than a poll interval.
    BacksOffForLong,
    /// It waits for a read of the log for as long as that takes.
    ReadsWithoutTimeout,
    /// A caller joins any load of its key.
    JoinsOlderLoad,
    /// Nobody joins a load.
    EveryCallerLoads,
    /// Who joined a load does not look at its tags.
    TagsOnlyAtInsert,
    /// An invalidation by tag is one of the whole cache.
    TagsWiden,
    /// A cache of an unknown name is every cache.
    UnknownMeansAll,
    /// An entry that cannot be read is skipped.
    SkipsUndecodable,
    /// An entry is skipped in the log when a frame claimed it.
    BelievesClaims,
    /// It is when a frame of nobody knows whom proved it.
    BelievesStrangers,
    /// An entry is marked, and then applied.
    MarksBeforeApplying,
    /// A frame that comes late or twice is not applied, and counts as applied.
    LateIsDuplicate,
    /// The frames of all nodes are counted as if they were of one.
    OneSequenceForAll,
    /// Nothing is heard after a frame that cannot be read.
    StopsAtNonsense,
    /// A subscription that ends was the last one.
    NeverSubscribesAgain,
    /// A node's own write is applied when the log tells it.
    OwnWritesWait,
    /// A write that the log refused is forgotten.
    RefusedIsForgotten,
    /// A transaction's commit is not told to the node that made it.
    ForgetsTransactions,
    /// A transaction's entries are appended outside of it.
    AppendsBesideTransactions,
    /// A transaction that is dropped is committed.
    CommitsTheForgotten,
    /// A node that starts again goes on with what it held.
    KeepsAcrossRestarts,
    /// A node that was shut down serves what it holds.
    ServesAfterShutdown,
    /// A write waits until it is published.
    AwaitsPublish,
    /// A write fails when it cannot be published.
    FailsWithItsTransport,
    /// Nothing is applied while something is published.
    PublishesUnderLock,
    /// Nothing is applied while the log is read.
    ReadsUnderLock,
    /// Each write is a frame of its own, and none waits.
    PublishesAllAtOnce,
    /// What waits to be published grows for ever.
    WaitsWithoutBound,
    /// What does not fit is dropped.
    DropsWhatOverflows,
    /// It hears the frames of other clusters.
    HearsOtherClusters,
    /// What a frame had told and proven is applied again when the log tells it.
    AppliesAgain,
    /// A frame is acknowledged, and then applied.
    AcknowledgesBeforeApplying,
    /// No frame is acknowledged.
    AcknowledgesNothing,
    /// A write returns before the log has it.
    AppendsLater,
    /// Who joined a load waits for it for ever.
    StrandsWhoJoined,
    /// A load that failed is kept.
    KeepsFailures,
    /// The counter of this name is never raised.
    CountsNo(&'static str),
}
