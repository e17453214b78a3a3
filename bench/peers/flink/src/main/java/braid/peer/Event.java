package braid.peer;

/** What the job needs of a record. Public fields and no arguments: Flink serialises it fast. */
public class Event {
    /** The message id. */
    public String id;
    /** The known user, or the empty text. */
    public String user;
    /** Milliseconds since 1970. */
    public long time;
    /** The step of the funnel that it takes, from 1; 0 for none. */
    public int step;

    public Event() {}
}
