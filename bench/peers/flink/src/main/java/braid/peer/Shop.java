package braid.peer;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * Events without duplicates, sessions and a funnel of known users, in one process.
 *
 * <p>Arguments: a folder with web, mobile and backend; the parallelism; streaming or batch. The
 * answer is a line of JSON on standard output.
 */
public final class Shop {
    private static final Duration GAP = Duration.ofMinutes(30);
    /** Records of phones that were offline come days late. What came later still would be lost. */
    private static final Duration DISORDER = Duration.ofDays(7);

    private Shop() {}

    public static void main(String[] args) throws Exception {
        Configuration config = new Configuration();
        config.setString("taskmanager.memory.network.min", "128m");
        config.setString("taskmanager.memory.network.max", "128m");
        config.setString("taskmanager.memory.managed.size", "1g");
        int parallelism = Integer.parseInt(args[1]);
        var env = StreamExecutionEnvironment.createLocalEnvironment(parallelism, config);
        env.setRuntimeMode(RuntimeExecutionMode.valueOf(args[2].toUpperCase()));
        env.getConfig().enableObjectReuse();
        env.setBufferTimeout(-1);

        DataStream<Event> events = null;
        for (String channel : new String[] {"web", "mobile", "backend"}) {
            DataStream<Event> source = source(env, Path.of(args[0], channel));
            events = events == null ? source : events.union(source);
        }
        DataStream<Event> known =
                events.keyBy(event -> event.id).process(new Dedup()).name("dedup");
        known.keyBy(event -> event.user)
                .window(EventTimeSessionWindows.withGap(GAP))
                .aggregate(new Session(), new Sessions())
                .name("sessions")
                .sinkTo(new DiscardingSink<>());
        known.filter(event -> event.step > 0)
                .keyBy(event -> event.user)
                .process(new Funnel())
                .name("funnel")
                .sinkTo(new DiscardingSink<>());
        Map<String, Object> sums = env.execute("shop").getAllAccumulatorResults();
        System.out.println(answer(sums));
    }

    private static DataStream<Event> source(StreamExecutionEnvironment env, Path folder)
            throws Exception {
        try (Stream<Path> files = Files.list(folder)) {
            var paths = files.sorted()
                    .map(path -> new org.apache.flink.core.fs.Path(path.toUri()))
                    .toArray(org.apache.flink.core.fs.Path[]::new);
            // A second file at the same time would be days apart from the first.
            if (paths.length != 1) {
                throw new IllegalArgumentException(folder + " has not one file");
            }
            var watermarks = WatermarkStrategy.<Event>forBoundedOutOfOrderness(DISORDER)
                    .withTimestampAssigner((event, time) -> event.time);
            var source = FileSource.forRecordStreamFormat(new Records(), paths).build();
            return env.fromSource(source, watermarks, folder.getFileName().toString())
                    .setParallelism(1);
        }
    }

    private static String answer(Map<String, Object> sums) {
        return String.format(
                "{\"answer\": {\"events\": %s, \"known\": %s, \"sessions\": %s, "
                        + "\"session_ms\": %s, \"funnel\": [%s, %s, %s, %s]}}",
                sums.get("events"), sums.get("known"), sums.get("sessions"),
                sums.get("session_ms"), sums.get("step 1"), sums.get("step 2"),
                sums.get("step 3"), sums.get("step 4"));
    }

    /** Counts what comes out of the windows. */
    public static final class Sessions
            extends ProcessWindowFunction<Long, Long, String, TimeWindow> {
        private static final long serialVersionUID = 1;
        private final LongCounter sessions = new LongCounter();
        private final LongCounter lengths = new LongCounter();

        @Override
        public void open(OpenContext context) {
            getRuntimeContext().addAccumulator("sessions", sessions);
            getRuntimeContext().addAccumulator("session_ms", lengths);
        }

        @Override
        public void process(
                String user, Context context, Iterable<Long> counts, Collector<Long> out) {
            for (long count : counts) {
                TimeWindow window = context.window();
                sessions.add(1);
                lengths.add(window.getEnd() - GAP.toMillis() - window.getStart());
                out.collect(count);
            }
        }
    }
}
