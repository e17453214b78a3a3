package braid.peer;

import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Browse, cart, checkout, purchase within seven days of the first: how far each user gets.
 *
 * <p>Events wait until the watermark has passed them, then are taken in order of time. Of each step
 * the latest start is kept that a chain to it may have: whoever gets further within the window of
 * any start does so within the window of the latest.
 */
public final class Funnel extends KeyedProcessFunction<String, Event, Integer> {
    private static final long serialVersionUID = 1;
    private static final int STEPS = 4;
    private static final long WINDOW_MS = 7 * 86_400_000L;
    private final LongCounter[] reached = new LongCounter[STEPS];
    /** The steps taken at a moment, as bits. */
    private transient MapState<Long, Integer> waiting;
    /** Of each step the latest start, then how far the user got. */
    private transient ValueState<long[]> chains;

    @Override
    public void open(OpenContext context) {
        var runtime = getRuntimeContext();
        waiting = runtime.getMapState(
                new MapStateDescriptor<>("waiting", Long.class, Integer.class));
        chains = runtime.getState(new ValueStateDescriptor<>("chains", long[].class));
        for (int step = 0; step < STEPS; step++) {
            reached[step] = new LongCounter();
            runtime.addAccumulator("step " + (step + 1), reached[step]);
        }
    }

    @Override
    public void processElement(Event event, Context context, Collector<Integer> out)
            throws Exception {
        Integer steps = waiting.get(event.time);
        waiting.put(event.time, (steps == null ? 0 : steps) | 1 << (event.step - 1));
        if (steps == null) {
            context.timerService().registerEventTimeTimer(event.time);
        }
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<Integer> out)
            throws Exception {
        int steps = waiting.get(time);
        waiting.remove(time);
        long[] starts = chains.value();
        if (starts == null) {
            starts = new long[STEPS + 1];
            java.util.Arrays.fill(starts, 0, STEPS, Long.MIN_VALUE / 2);
        }
        for (int step = 0; step < STEPS; step++) {
            if ((steps >> step & 1) == 0) {
                continue;
            }
            long start = step == 0 ? time : starts[step - 1];
            if (time - start > WINDOW_MS) {
                continue;
            }
            starts[step] = Math.max(starts[step], start);
            if (starts[STEPS] == step) {
                starts[STEPS] = step + 1;
                reached[step].add(1);
                out.collect(step + 1);
            }
        }
        chains.update(starts);
    }
}
