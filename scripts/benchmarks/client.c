/* The load client of scripts/bench, and a trivial server that shows how much the client could handle.
 *
 *   client load  host= port= request=FILE connections= seconds= [warmup=] [ramp=] [ttft_us= gap_us=] [tokens=] [mark=]
 *   client serve port= frames=FILE [ttft_us= gap_us=]
 *   client bucket VALUE...
 *
 * Decisions:
 * - One thread, one core, epoll: the server under test has the other cores to itself.
 * - Closed loop: each connection sends its next request when it has the last reply, so `connections` replies are open
 *   at any time. The request's bytes come from a file; the client knows just enough HTTP to find the end of a reply.
 * - A token is an event that has `mark` (like "content":) followed by a string that is not empty.
 * - Lateness is arrival minus (request sent + ttft + k * gap), with the clock read after each recv(). Tokens that
 *   were due within the window and have not arrived by its end count with the lateness that they have then: a server
 *   that stops responding must not look punctual.
 * - Only what happens within the window counts; the warm-up and the ramp before it do not.
 * - Histograms are log-linear, in microseconds: exact below 128, then 64 buckets for each doubling (1.6 %). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define TIMEOUT (10 * SECOND) /* a request without a byte for so long has failed */
#define BUCKETS (64 * 37)
#define READ_SIZE (256 * 1024)

static char input[READ_SIZE];

static void fail(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Histograms */

typedef struct {
    uint64_t buckets[BUCKETS];
    int64_t count, sum, min, max;
} Histogram;

static int bucket_of(int64_t value) {
    if (value < 128) return (int)value;
    int shift = 63 - __builtin_clzll((uint64_t)value) - 6;
    int index = shift * 64 + (int)(value >> shift);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static void observe(Histogram *h, int64_t nanoseconds) {
    int64_t value = nanoseconds < 0 ? 0 : nanoseconds / 1000;
    h->buckets[bucket_of(value)]++;
    if (!h->count || value < h->min) h->min = value;
    if (value > h->max) h->max = value;
    h->count++;
    h->sum += value;
}

static void print_histogram(const char *name, const Histogram *h) {
    printf(",\"%s\":{\"count\":%ld,\"sum\":%ld,\"min\":%ld,\"max\":%ld,\"buckets\":[", name, (long)h->count, (long)h->sum,
           (long)h->min, (long)h->max);
    const char *comma = "";
    for (int i = 0; i < BUCKETS; i++)
        if (h->buckets[i]) {
            printf("%s[%d,%lu]", comma, i, (unsigned long)h->buckets[i]);
            comma = ",";
        }
    printf("]}");
}

/* Arguments: name=value */

static int count_of_arguments;
static char **arguments;

static const char *text(const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (int i = 2; i < count_of_arguments; i++)
        if (!strncmp(arguments[i], name, length) && arguments[i][length] == '=') return arguments[i] + length + 1;
    if (!otherwise) {
        fprintf(stderr, "client: %s= is missing\n", name);
        exit(2);
    }
    return otherwise;
}

static double number(const char *name, const char *otherwise) { return atof(text(name, otherwise)); }

static char *contents(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*length + 1);
    if (!data || fread(data, 1, *length, file) != *length) fail(path);
    data[*length] = 0;
    fclose(file);
    return data;
}

/* The load client */

enum { DOWN, CONNECTING, SENDING, HEAD, SIZED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

typedef struct {
    int fd, state;
    int64_t start_at;   /* when DOWN: when to connect */
    int64_t sent, last_byte; /* when the request was sent, and the last byte arrived */
    size_t written;
    int64_t remaining; /* of the chunk or of the body */
    int line;          /* characters of the trailer line so far */
    long tokens;
    bool ok, events, close;
    char *part; /* an incomplete head or event */
    size_t part_length, part_capacity;
} Connection;

static struct {
    struct addrinfo *address;
    char *request;
    size_t request_length;
    const char *mark;
    size_t mark_length;
    long expected; /* tokens; 0 for any number */
    bool planned;
    int64_t ttft, gap;
    int64_t from, until; /* the window */
    int epoll;
    long down; /* connections to open */
} load;

static struct {
    int64_t requests, tokens, bytes, early, missing;
    int64_t connect, status, broken, timeout, length;
    Histogram latency, ttft, lateness, drift;
} seen;

static bool counts(int64_t t) { return t >= load.from && t < load.until; }

static void set_events(Connection *c, uint32_t what, int operation) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    if (epoll_ctl(load.epoll, operation, c->fd, &event)) fail("epoll_ctl");
}

static void close_connection(Connection *c, int64_t start_at) {
    if (c->fd >= 0) close(c->fd);
    if (c->state != DOWN) load.down++;
    c->fd = -1;
    c->state = DOWN;
    c->start_at = start_at;
    c->part_length = 0;
}

static void fail_request(Connection *c, int64_t *kind, int64_t t) {
    if (counts(t)) ++*kind;
    close_connection(c, t + SECOND / 50);
}

static void append_partial(Connection *c, const char *data, size_t length) {
    if (c->part_length + length > c->part_capacity) {
        c->part_capacity = (c->part_length + length) * 2;
        c->part = realloc(c->part, c->part_capacity);
        if (!c->part) fail("memory");
    }
    memmove(c->part + c->part_length, data, length);
    c->part_length += length;
}

static void write_request(Connection *c) {
    if (!c->written) c->sent = c->last_byte = now();
    ssize_t n = send(c->fd, load.request + c->written, load.request_length - c->written, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        fail_request(c, &seen.broken, now());
        return;
    }
    if (n > 0) c->written += (size_t)n;
    bool all = c->written == load.request_length;
    if (!all || c->state == CONNECTING) set_events(c, all ? EPOLLIN : EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    else if (c->state == SENDING) set_events(c, EPOLLIN, EPOLL_CTL_MOD);
    c->state = all ? HEAD : SENDING;
}

static void send_request(Connection *c) {
    c->written = 0;
    c->tokens = 0;
    c->part_length = 0;
    write_request(c);
}

static void open_connection(Connection *c) {
    c->fd = socket(load.address->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    load.down--;
    c->last_byte = now();
    if (connect(c->fd, load.address->ai_addr, load.address->ai_addrlen) && errno != EINPROGRESS) {
        fail_request(c, &seen.connect, c->last_byte);
        return;
    }
    set_events(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void finish_reply(Connection *c, int64_t t) {
    if (counts(t)) {
        if (!c->ok) seen.status++;
        else if (load.expected && c->tokens != load.expected) seen.length++;
        else {
            seen.requests++;
            observe(&seen.latency, t - c->sent);
        }
    }
    if (c->close) close_connection(c, t);
    else send_request(c);
}

static void count_token(Connection *c, int64_t t) {
    int64_t k = c->tokens++;
    if (!counts(t)) return;
    seen.tokens++;
    if (!k) observe(&seen.ttft, t - c->sent);
    if (load.planned) {
        int64_t late = t - (c->sent + load.ttft + k * load.gap);
        if (late < 0) seen.early++;
        observe(&seen.lateness, late);
        if (k + 1 == load.expected) observe(&seen.drift, late);
    }
}

static void parse_event(Connection *c, const char *data, size_t length, int64_t t) {
    const char *end = data + length, *at = memmem(data, length, load.mark, load.mark_length);
    if (!at) return;
    at += load.mark_length;
    while (at < end && *at == ' ') at++;
    if (at + 1 < end && at[0] == '"' && at[1] != '"') count_token(c, t);
}

/* Splits bytes of a body into events, each ended by an empty line. */
static void parse_body(Connection *c, const char *data, size_t length, int64_t t) {
    if (counts(t)) seen.bytes += (int64_t)length;
    if (!c->events) return;
    if (c->part_length) {
        append_partial(c, data, length);
        data = c->part;
        length = c->part_length;
    }
    const char *from = data, *at = data, *end = data + length;
    while ((at = memchr(at, '\n', (size_t)(end - at)))) {
        at++;
        size_t skip = at < end && *at == '\n' ? 1 : at + 1 < end && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
        if (!skip) continue;
        parse_event(c, from, (size_t)(at - from), t);
        from = at += skip;
    }
    c->part_length = 0;
    if (from < end) append_partial(c, from, (size_t)(end - from));
}

static bool has_header(const char *head, const char *name, const char *value) {
    const char *line = strcasestr(head, name), *end = line ? strstr(line, "\r\n") : NULL;
    const char *found = line ? strcasestr(line, value) : NULL;
    return found && found < end;
}

/* Parses a complete response head; its last byte is replaced to end the string. */
static void parse_head(Connection *c, char *data, size_t length) {
    data[length - 1] = 0;
    c->ok = !strncmp(data, "HTTP/1.", 7) && !strncmp(data + 8, " 200", 4);
    c->events = has_header(data, "\ncontent-type:", "text/event-stream");
    c->close = has_header(data, "\nconnection:", "close");
    const char *size = strcasestr(data, "\ncontent-length:");
    if (has_header(data, "\ntransfer-encoding:", "chunked")) {
        c->state = CHUNK_SIZE;
        c->remaining = 0;
    } else if (size) {
        c->state = SIZED;
        c->remaining = atoll(size + strlen("\ncontent-length:"));
    } else {
        c->state = UNTIL_CLOSE;
        c->close = true;
    }
}

static int digit(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static void parse(Connection *c, char *data, size_t length, int64_t t) {
    while (length) {
        size_t taken = 1;
        switch (c->state) {
        case HEAD: {
            size_t before = c->part_length;
            append_partial(c, data, length);
            char *end = memmem(c->part, c->part_length, "\r\n\r\n", 4);
            if (!end) return;
            size_t head_length = (size_t)(end + 4 - c->part);
            taken = head_length - before;
            c->part_length = 0;
            parse_head(c, c->part, head_length);
            if (c->state == SIZED && !c->remaining) {
                finish_reply(c, t);
                return;
            }
            break;
        }
        case SIZED:
        case CHUNK_DATA:
            taken = (int64_t)length < c->remaining ? length : (size_t)c->remaining;
            parse_body(c, data, taken, t);
            c->remaining -= (int64_t)taken;
            if (!c->remaining) {
                if (c->state == SIZED) {
                    finish_reply(c, t);
                    return;
                }
                c->state = CHUNK_END;
            }
            break;
        case CHUNK_SIZE:
            if (isxdigit(*data)) c->remaining = c->remaining * 16 + digit(*data);
            else if (*data == '\n') {
                c->state = c->remaining ? CHUNK_DATA : TRAILER;
                c->line = 0;
            }
            break;
        case CHUNK_END:
            if (*data == '\n') {
                c->state = CHUNK_SIZE;
                c->remaining = 0;
            }
            break;
        case TRAILER:
            if (*data == '\n') {
                if (!c->line) {
                    finish_reply(c, t);
                    return;
                }
                c->line = 0;
            } else if (*data != '\r') c->line++;
            break;
        case UNTIL_CLOSE:
            taken = length;
            parse_body(c, data, length, t);
            break;
        default: /* unexpected bytes */
            fail_request(c, &seen.broken, t);
            return;
        }
        data += taken;
        length -= taken;
    }
}

static void on_event(Connection *c, uint32_t what) {
    if (c->state == CONNECTING) {
        int problem = 0;
        socklen_t size = sizeof problem;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
        if (problem) fail_request(c, &seen.connect, now());
        else send_request(c);
        return;
    }
    if (what & EPOLLOUT && c->state == SENDING) {
        write_request(c);
        return;
    }
    ssize_t n = recv(c->fd, input, sizeof input, 0);
    int64_t t = now();
    if (n > 0) {
        c->last_byte = t;
        parse(c, input, (size_t)n, t);
    } else if (!n && c->state == UNTIL_CLOSE) finish_reply(c, t);
    else if (!n || errno != EAGAIN) fail_request(c, &seen.broken, t);
}

/* Counts tokens that were due within the window and have not arrived. */
static void count_missing(Connection *c) {
    if (!load.planned || c->state < HEAD) return;
    for (int64_t k = c->tokens; k < load.expected; k++) {
        int64_t due = c->sent + load.ttft + k * load.gap, late = load.until - due;
        if (late < SECOND / 200) break; /* may still arrive */
        if (due < load.from) late = load.until - load.from;
        seen.missing++;
        observe(&seen.lateness, late);
    }
}

static int run_load(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(text("host", NULL), text("port", NULL), &hints, &load.address)) {
        fprintf(stderr, "client: unknown host %s\n", text("host", NULL));
        return 2;
    }
    load.request = contents(text("request", NULL), &load.request_length);
    load.mark = text("mark", "\"content\":");
    load.mark_length = strlen(load.mark);
    load.expected = (long)number("tokens", "0");
    load.planned = *text("gap_us", "") != 0;
    load.ttft = (int64_t)(number("ttft_us", "0") * 1000);
    load.gap = (int64_t)(number("gap_us", "0") * 1000);
    load.epoll = epoll_create1(0);
    long connections = (long)number("connections", NULL);
    int64_t ramp = (int64_t)(number("ramp", "0") * SECOND);

    int64_t begin = now();
    load.from = begin + ramp + (int64_t)(number("warmup", "0") * SECOND);
    load.until = load.from + (int64_t)(number("seconds", NULL) * SECOND);
    Connection *all = calloc((size_t)connections, sizeof *all);
    if (!all) fail("memory");
    load.down = connections;
    for (long i = 0; i < connections; i++) all[i] = (Connection){.fd = -1, .start_at = begin + ramp * i / connections};

    struct epoll_event events[256];
    double cpu = -1;
    int64_t next_check = begin;
    for (int64_t t = begin; t < load.until; t = now()) {
        if (t >= next_check) { /* open connections, and fail those without a byte */
            for (long i = 0; i < connections; i++) {
                Connection *c = &all[i];
                if (c->state == DOWN && c->start_at <= t) open_connection(c);
                else if (c->state != DOWN && t - c->last_byte > TIMEOUT) fail_request(c, &seen.timeout, t);
            }
            next_check = t + (load.down ? SECOND / 1000 : SECOND / 10);
        }
        if (cpu < 0 && t >= load.from) cpu = cpu_seconds();
        int n = epoll_wait(load.epoll, events, 256, load.down ? 1 : 10);
        for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
    }
    cpu = cpu_seconds() - cpu;
    long open = 0;
    for (long i = 0; i < connections; i++) {
        count_missing(&all[i]);
        open += all[i].state > CONNECTING;
    }

    printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"open\":%ld", (double)(load.until - load.from) / SECOND, cpu, open);
    printf(",\"requests\":%ld,\"tokens\":%ld,\"bytes\":%ld,\"early\":%ld,\"missing\":%ld", (long)seen.requests,
           (long)seen.tokens, (long)seen.bytes, (long)seen.early, (long)seen.missing);
    printf(",\"errors\":{\"connect\":%ld,\"status\":%ld,\"broken\":%ld,\"timeout\":%ld,\"length\":%ld}",
           (long)seen.connect, (long)seen.status, (long)seen.broken, (long)seen.timeout, (long)seen.length);
    print_histogram("latency", &seen.latency);
    print_histogram("ttft", &seen.ttft);
    print_histogram("lateness", &seen.lateness);
    print_histogram("drift", &seen.drift);
    printf("}\n");
    return 0;
}

/* The trivial server: sends the same frames for every request, at once or paced */

typedef struct Client {
    int fd;
    size_t have;        /* bytes of the request read so far */
    size_t unsent_from; /* where in the frames sending was interrupted */
    size_t unsent_until;
    int frame;
    int64_t due;
    struct Client *next;
    char head[4096];
} Client;

typedef struct {
    Client *first, *last;
} Queue;

/* Every wait is either the ttft or the gap, so two queues that are first in, first out are in order of time. */
static Queue waiting[2];

static void enqueue(Queue *q, Client *c) {
    c->next = NULL;
    if (q->last) q->last->next = c;
    else q->first = c;
    q->last = c;
}

static Queue *earliest(void) {
    Client *a = waiting[0].first, *b = waiting[1].first;
    return !a && !b ? NULL : !b || (a && a->due < b->due) ? &waiting[0] : &waiting[1];
}

static char *frames;
static size_t *ends;
static int frame_count;

static void transmit(Client *c) {
    ssize_t n = send(c->fd, frames + c->unsent_from, c->unsent_until - c->unsent_from, MSG_NOSIGNAL);
    if (n > 0) c->unsent_from += (size_t)n;
}

/* Returns whether a request is complete. The head must be within the first 4 KB. */
static bool complete(Client *c, const char *data, size_t length) {
    size_t room = sizeof c->head - 1;
    if (c->have < room) {
        size_t n = length < room - c->have ? length : room - c->have;
        memcpy(c->head + c->have, data, n);
        c->head[c->have + n] = 0;
    }
    c->have += length;
    char *end = strstr(c->head, "\r\n\r\n"), *size = strcasestr(c->head, "\ncontent-length:");
    if (!end) return false;
    size_t wanted = (size_t)(end + 4 - c->head) + (size && size < end ? (size_t)atoll(size + 16) : 0);
    if (c->have < wanted) return false;
    c->have = 0;
    return true;
}

static void run_serve(void) {
    size_t length;
    char *file = contents(text("frames", NULL), &length), *line_end = strchr(file, '\n');
    bool paced = *text("gap_us", "") != 0;
    int64_t ttft = (int64_t)(number("ttft_us", "0") * 1000), gap = (int64_t)(number("gap_us", "0") * 1000);
    ends = calloc(length + 1, sizeof *ends);
    size_t total = 0;
    for (char *at = file; at < line_end;) {
        total += strtoul(at, &at, 10);
        ends[frame_count++] = total;
    }
    frames = line_end + 1;

    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number("port", NULL))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) fail("port");
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &timer;
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    printf("ready\n");
    fflush(stdout);

    for (;;) {
        Queue *queue;
        int64_t t = now(), wait = -1;
        for (int budget = 256; (queue = earliest()) && queue->first->due <= t && budget; budget--) {
            Client *c = queue->first;
            if (!(queue->first = c->next)) queue->last = NULL;
            if (c->fd < 0) {
                free(c);
                continue;
            }
            if (c->unsent_from == c->unsent_until) c->unsent_from = c->frame ? ends[c->frame - 1] : 0;
            c->unsent_until = ends[c->frame];
            transmit(c);
            if (++c->frame < frame_count) {
                c->due += gap;
                enqueue(&waiting[1], c);
            }
        }
        if (queue) wait = queue->first->due;
        if (wait > t) {
            struct itimerspec when = {.it_value = {wait / SECOND, wait % SECOND}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        }
        int n = epoll_wait(epoll, events, 256, wait >= 0 && wait <= t ? 0 : -1);
        for (int i = 0; i < n; i++) {
            Client *c = events[i].data.ptr;
            if (!c) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                c = calloc(1, sizeof *c);
                c->fd = fd;
                c->frame = frame_count;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                continue;
            }
            if (c == (Client *)&timer) {
                uint64_t fired;
                (void)!read(timer, &fired, sizeof fired);
                continue;
            }
            if (c->unsent_from < c->unsent_until) transmit(c);
            ssize_t got;
            while ((got = recv(c->fd, input, sizeof input, 0)) > 0)
                if (complete(c, input, (size_t)got)) {
                    c->unsent_from = 0;
                    if (paced) {
                        c->frame = 0;
                        c->due = now() + ttft;
                        enqueue(&waiting[0], c);
                    } else {
                        c->unsent_until = ends[frame_count - 1];
                        transmit(c);
                    }
                    if (got < (ssize_t)sizeof input) break;
                }
            if (!got || (got < 0 && errno != EAGAIN)) {
                close(c->fd);
                c->fd = -1;
                if (!paced || c->frame == frame_count) free(c); /* else it is in a queue, which frees it */
            }
        }
    }
}

int main(int count, char **values) {
    count_of_arguments = count;
    arguments = values;
    signal(SIGPIPE, SIG_IGN);
    const char *mode = count > 1 ? values[1] : "";
    if (!strcmp(mode, "load")) return run_load();
    if (!strcmp(mode, "serve")) run_serve();
    if (!strcmp(mode, "bucket")) {
        for (int i = 2; i < count; i++) printf("%d\n", bucket_of(atoll(values[i])));
        return 0;
    }
    fprintf(stderr, "usage: client load|serve name=value... | client bucket VALUE...\n");
    return 2;
}
