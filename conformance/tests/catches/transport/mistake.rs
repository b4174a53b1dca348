//! The mistakes, of which each wrong transport makes one.

/// What such a transport, or its harness, gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Its nodes share one subscription of the broker: each frame reaches one of them.
    SharesOneSubscription,
    /// It fans out to the first few nodes that it knows.
    ReachesAFew,
    ReadyTooEarly,
    Reorders,
    /// It sends again what it sent.
    Duplicates,
    TellsAGapBeforeEachFrame,
    TellsAGapAfterwards,
    LosesWhenBusy,
    Echoes,
    SubscribesOnce,
    ForgetsAPeer,
    NamesAPeerTwice,
    TellsEverybody,
    /// It claims smaller frames while it is subscribed.
    ClaimsWhatItIs,
    TakesFramesForText,
    SkipsEmptyFrames,
    Truncates,
    TakesAnySize,
    /// Large frames go another way than small ones, which is slower.
    SendsLargeFramesAside,
    /// Large frames go in parts, which are put together as they come, whoever sent them.
    MixesParts,
    AcknowledgesEarly,
    AcknowledgesTheDropped,
    OneAtATime,
    OverflowsSilently,
    /// Of overflows it tells the first.
    TellsOneOverflow,
    BuffersWithoutBound,
    /// After an overflow nothing comes any more.
    EndsWithAnOverflow,
    /// Publishing waits until each subscriber has room.
    WaitsForTheSlow,
    CrossesClusters,
    BelievesStrangers,
    NamesNoKind,
    /// It goes on trying what will never be let in.
    RetriesTheRefused,
    /// Who is refused is told after a few seconds.
    RefusesSlowly,
    /// Who is refused is told when its time is over.
    WaitsOutItsTimeout,
    /// Who is refused is subscribed, and hears nothing.
    SubscribesTheRefused,
    /// The subscription of who is refused ends, and nobody says why.
    EndsTheRefused,
    /// It looks at no certificate.
    TrustsAnyCertificate,
    ShowsItsSecret,
    ShowsItsSecretInErrors,
    LogsItsSecret,
    ReconnectsSilently,
    /// Publishing succeeds once a frame waits to be written, and with the link all are lost that do.
    SaysOkFromItsBuffer,
    /// Publishing into its own link's silence succeeds.
    TrustsItsOwnSilence,
    /// A goodbye of the server it takes for no loss.
    TakesAStopForNothing,
    /// It takes a server that was restarted for the one that it was connected to.
    TakesARestartForNothing,
    /// Frames go to where a node was before it was restarted, for a while.
    SendsToWhoWasThere,
    /// Once it has connected again, it tells a gap before each frame.
    TellsGapsOnceItReconnected,
    /// Once it has subscribed again, each frame comes twice.
    HearsTwiceOnceItReconnected,
    /// Once publishing failed, each frame goes out twice.
    SendsTwiceOnceItReconnected,
    SwallowsErrors,
    /// Publishing waits until the backend is back.
    WaitsForTheBackend,
    /// It sends what failed with the next frame.
    SendsLate,
    /// It tries again what failed, by a timer.
    RetriesByATimer,
    ProbesNothing,
    /// Once a probe failed, each does.
    RemembersABadProbe,
    /// What takes long it takes for lost.
    DropsTheSlow,
    TrustsSilence,
    /// Of what was sent into a silence it delivers the last frame, and forgets the others.
    KeepsTheLastFrame,
    /// Its sign of life is answered by a server that is paused.
    TrustsAPausedServer,
    ProbesForEver,
    PublishesForEver,
    /// It sends to one peer after another.
    VisitsPeersInTurn,
    KeepsALockWhenDropped,
    KeepsALockWhenAProbeIsDropped,
    ClosesOnlyOnce,
    CloseLeavesSubscriptions,
    CloseWaitsForPublish,
    /// A subscription that was being made while it closed goes on for ever.
    SubscribesPastAClose,
    WorksAfterClose,
    CloseLeavesAConnection,
    LeaksATask,
    LeaksAConnection,
    /// The harness breaks links, and cannot mend them.
    CannotMend,
    /// The harness breaks nothing, and makes no stranger.
    BreaksNothing,
    /// No mistake: a node keeps one subscription, and so does this.
    KeepsOneSubscription,
    /// Not its own: the server keeps what a subscriber does not read, as much as it is.
    QueuesInFront,
    /// A subscription that was quiet for a second hears nothing any more.
    DeafAfterQuiet,
    /// Each subscription leaves a connection behind, until the transport is dropped.
    LeaksAConnectionPerSubscription,
    /// The error that ends a subscription shows the secret.
    ShowsItsSecretInTheEnd,
    /// The names of peers do.
    ShowsItsSecretAsPeer,
}
