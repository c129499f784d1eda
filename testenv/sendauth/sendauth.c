/*
 * sendauth: a KPOP client on MIT's libkrb5.
 *
 *   sendauth [options] HOST PORT SERVICE
 *
 * SERVICE is a principal such as pop/localhost. The ticket comes from the
 * default credentials cache. The exchange is krb5_sendauth's; after it, lines
 * from standard input go to the server, one at a time, and what the server
 * says goes to standard output: one status line a command, or all lines to
 * the final "." where the command is one that has them.
 *
 *   -mutual         ask the server to prove itself (AP_OPTS_MUTUAL_REQUIRED)
 *   -subkey         send a subkey (AP_OPTS_USE_SUBKEY)
 *   -version STR    application version, KPOPV1.0 by default
 *   -pipeline       send all of standard input at once behind the exchange,
 *                   before the greeting, as Heimdal's push does
 *   -stale          take the ticket from the cache whatever its times say
 *   -any            -stale, and take the first ticket, whatever its service
 *   -save FILE      write the AP-REQ to FILE too
 *   -replay FILE    send the AP-REQ in FILE; no ticket is needed
 *
 * Exit status: 0 the session ended with the server's close or the end of the
 * input, 1 usage or local trouble, 2 the exchange was refused, which standard
 * error explains: "status N" for the byte after the versions, "KRB-ERROR N:
 * text" for the frame, "-ERR ..." for the line behind either.
 */
#include <krb5.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SENDAUTH_VERSION "KRB5_SENDAUTH_V1.0"
#define TIMEOUT 30		/* seconds for one read or write */
#define FRAME_MAX (1 << 20)

struct options {
	const char *version, *save, *replay, *host, *port, *service;
	krb5_flags ap;
	int pipeline, stale, any;
};

static krb5_context context;

static void die(int status, const char *what, krb5_error_code code)
{
	if (code) {
		const char *text = krb5_get_error_message(context, code);
		fprintf(stderr, "%s: %s\n", what, text);
	} else {
		fprintf(stderr, "%s\n", what);
	}
	exit(status);
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	struct timeval limit = { .tv_sec = TIMEOUT };
	int fd = -1, err = getaddrinfo(host, port, &hints, &list);

	if (err) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(err));
		exit(1);
	}
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0) {
		perror("connect");
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return fd;
}

static void put(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			die(2, "the server closed the connection during the exchange", 0);
		p += sent;
		n -= sent;
	}
}

/* get reads n octets, or fewer at the end. */
static size_t get(int fd, void *data, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = recv(fd, (char *)data + have, n - have, 0);
		if (r <= 0)
			break;
		have += r;
	}
	return have;
}

static void put_frame(int fd, const void *data, size_t n)
{
	uint32_t length = htonl(n);

	put(fd, &length, 4);
	put(fd, data, n);
}

static krb5_data get_frame(int fd)
{
	krb5_data d = { 0 };
	uint32_t length;

	if (get(fd, &length, 4) != 4)
		die(2, "the server closed the connection during the exchange", 0);
	d.length = ntohl(length);
	if (d.length > FRAME_MAX)
		die(2, "the server announced a frame of more than a megabyte", 0);
	d.data = calloc(1, d.length + 1);
	if (!d.data || get(fd, d.data, d.length) != d.length)
		die(2, "the server cut a frame short", 0);
	return d;
}

/* parting shows the POP3 line that may follow a refusal, and ends. */
static void parting(int fd)
{
	char line[513];
	size_t n = 0;

	while (n < sizeof line - 1 && get(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	line[strcspn(line, "\r\n")] = 0;
	if (n)
		fprintf(stderr, "%s\n", line);
	exit(2);
}

static void refused(int fd, const krb5_error *e)
{
	fprintf(stderr, "KRB-ERROR %d: %.*s\n", (int)e->error, (int)e->text.length,
		e->text.length ? e->text.data : "");
	parting(fd);
}

static krb5_ccache open_cache(void)
{
	krb5_ccache cache;
	krb5_error_code code = krb5_cc_default(context, &cache);

	if (code)
		die(1, "credentials cache", code);
	return cache;
}

static krb5_principal parse(const char *name)
{
	krb5_principal p;
	krb5_error_code code = krb5_parse_name(context, name, &p);

	if (code)
		die(1, name, code);
	return p;
}

/* stale finds the ticket in the cache without a look at its times. */
static krb5_creds *stale(const struct options *o)
{
	krb5_creds *creds = calloc(1, sizeof *creds);
	krb5_principal want = parse(o->service);
	krb5_ccache cache = open_cache();
	krb5_cc_cursor cursor;
	krb5_error_code code = krb5_cc_start_seq_get(context, cache, &cursor);

	if (code)
		die(1, "credentials cache", code);
	while (krb5_cc_next_cred(context, cache, &cursor, creds) == 0) {
		if (krb5_is_config_principal(context, creds->server))
			continue;
		if (o->any || krb5_principal_compare(context, creds->server, want)) {
			/* The library's own view only; the ticket is sealed. */
			creds->times.endtime = time(NULL) + 3600;
			return creds;
		}
	}
	die(1, "no such ticket in the cache", 0);
	return NULL;
}

/* fresh asks the cache, and the KDC where the cache has none. */
static krb5_creds *fresh(const struct options *o)
{
	krb5_creds want = { 0 }, *creds;
	krb5_ccache cache = open_cache();
	krb5_error_code code = krb5_cc_get_principal(context, cache, &want.client);

	if (code)
		die(1, "credentials cache", code);
	want.server = parse(o->service);
	code = krb5_get_credentials(context, 0, cache, &want, &creds);
	if (code)
		die(1, "ticket", code);
	return creds;
}

/* exchange is krb5_sendauth, the library's own. */
static void exchange(int fd, const struct options *o)
{
	krb5_creds *creds = o->stale ? stale(o) : fresh(o);
	krb5_auth_context auth = NULL;
	krb5_error *error = NULL;
	krb5_ap_rep_enc_part *reply = NULL;
	krb5_error_code code = krb5_sendauth(context, &auth, &fd, (char *)o->version,
		creds->client, creds->server, o->ap, NULL, creds, NULL,
		&error, &reply, NULL);

	if (error)
		refused(fd, error);
	if (code == KRB5_SENDAUTH_BADAUTHVERS) {
		fprintf(stderr, "status 1\n");
		parting(fd);
	}
	if (code == KRB5_SENDAUTH_BADAPPLVERS) {
		fprintf(stderr, "status 2\n");
		parting(fd);
	}
	if (code)
		die(2, "krb5_sendauth", code);
	if ((o->ap & AP_OPTS_MUTUAL_REQUIRED) && !reply)
		die(2, "no AP-REP", 0);
}

static krb5_data make_request(const struct options *o, krb5_auth_context *auth)
{
	krb5_data request = { 0 };
	krb5_error_code code = krb5_mk_req_extended(context, auth, o->ap, NULL,
		o->stale ? stale(o) : fresh(o), &request);

	if (code)
		die(1, "AP-REQ", code);
	return request;
}

static krb5_data read_request(const char *name)
{
	krb5_data d = { 0 };
	FILE *f = fopen(name, "rb");

	d.data = calloc(1, FRAME_MAX);
	if (!f || !d.data) {
		perror(name);
		exit(1);
	}
	d.length = fread(d.data, 1, FRAME_MAX, f);
	fclose(f);
	return d;
}

static void write_request(const char *name, krb5_data d)
{
	FILE *f = fopen(name, "wb");

	if (!f || fwrite(d.data, 1, d.length, f) != d.length || fclose(f)) {
		perror(name);
		exit(1);
	}
}

/* mutual says whether an AP-REQ asks for an AP-REP: ap-options follow
 * pvno and msg-type in its DER form, [2] BIT STRING (RFC 4120, 5.5.1). */
static int mutual(krb5_data request)
{
	static const char tag[] = { (char)0xa2, 7, 3, 5, 0 };
	char *at = memmem(request.data, request.length, tag, sizeof tag);

	return at && at + sizeof tag < request.data + request.length &&
		(at[sizeof tag] & 0x20);
}

/* by_hand is the same exchange, done here, so that its AP-REQ can be kept or
 * replaced. */
static void by_hand(int fd, const struct options *o)
{
	krb5_auth_context auth = NULL;
	krb5_ap_rep_enc_part *reply;
	krb5_data request = o->replay ? read_request(o->replay) : make_request(o, &auth);
	krb5_data answer;
	krb5_error *error;
	unsigned char status;

	if (o->save)
		write_request(o->save, request);
	put_frame(fd, SENDAUTH_VERSION, sizeof SENDAUTH_VERSION);
	put_frame(fd, o->version, strlen(o->version) + 1);
	if (get(fd, &status, 1) != 1)
		die(2, "the server closed the connection during the exchange", 0);
	if (status) {
		fprintf(stderr, "status %d\n", status);
		parting(fd);
	}
	put_frame(fd, request.data, request.length);
	answer = get_frame(fd);
	if (answer.length) {
		krb5_error_code code = krb5_rd_error(context, &answer, &error);
		if (code)
			die(2, "KRB-ERROR", code);
		refused(fd, error);
	}
	if (mutual(request)) {
		answer = get_frame(fd);
		/* A replayed request's session key is not known here. */
		if (auth) {
			krb5_error_code code = krb5_rd_rep(context, auth, &answer, &reply);
			if (code)
				die(2, "AP-REP", code);
		}
	}
}

/* multiline says whether a reply to the command goes on to a ".". */
static int multiline(const char *line)
{
	static const char *always[] = { "RETR", "TOP", "CAPA" };
	static const char *alone[] = { "LIST", "UIDL" };
	size_t i, word = strcspn(line, " \r\n");

	for (i = 0; i < sizeof always / sizeof *always; i++)
		if (word == strlen(always[i]) && !strncasecmp(line, always[i], word))
			return 1;
	for (i = 0; i < sizeof alone / sizeof *alone; i++)
		if (word == strlen(alone[i]) && !strncasecmp(line, alone[i], word))
			return line[word] != ' ';
	return 0;
}

/* show copies one reply to standard output; 0 at the end of the session. */
static int show(FILE *in, int multi)
{
	char line[65536];
	int first = 1;

	while (fgets(line, sizeof line, in)) {
		fputs(line, stdout);
		if (first && line[0] != '+')
			return 1;
		first = 0;
		if (!multi || !strcmp(line, ".\r\n"))
			return 1;
	}
	return 0;
}

static void session(int fd, const struct options *o)
{
	char line[65536];
	FILE *in = fdopen(fd, "rb");

	if (!in) {
		perror("fdopen");
		exit(1);
	}
	if (o->pipeline) {
		while (fgets(line, sizeof line - 2, stdin)) {
			line[strcspn(line, "\r\n")] = 0;
			strcat(line, "\r\n");
			put(fd, line, strlen(line));
		}
		while (fgets(line, sizeof line, in))
			fputs(line, stdout);
		return;
	}
	if (!show(in, 0))
		return;
	while (fgets(line, sizeof line - 2, stdin)) {
		line[strcspn(line, "\r\n")] = 0;
		strcat(line, "\r\n");
		put(fd, line, strlen(line));
		if (!show(in, multiline(line)))
			return;
	}
}

static void usage(void)
{
	fprintf(stderr, "usage: sendauth [-mutual] [-subkey] [-version STR] [-pipeline] [-stale] [-any] "
		"[-save FILE] [-replay FILE] HOST PORT SERVICE\n");
	exit(1);
}

static struct options parse_args(int argc, char **argv)
{
	struct options o = { .version = "KPOPV1.0" };
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-mutual"))
			o.ap |= AP_OPTS_MUTUAL_REQUIRED;
		else if (!strcmp(argv[i], "-subkey"))
			o.ap |= AP_OPTS_USE_SUBKEY;
		else if (!strcmp(argv[i], "-pipeline"))
			o.pipeline = 1;
		else if (!strcmp(argv[i], "-stale"))
			o.stale = 1;
		else if (!strcmp(argv[i], "-any"))
			o.stale = o.any = 1;
		else if (!strcmp(argv[i], "-version") && i + 1 < argc)
			o.version = argv[++i];
		else if (!strcmp(argv[i], "-save") && i + 1 < argc)
			o.save = argv[++i];
		else if (!strcmp(argv[i], "-replay") && i + 1 < argc)
			o.replay = argv[++i];
		else
			usage();
	}
	if (argc - i != 3)
		usage();
	o.host = argv[i];
	o.port = argv[i + 1];
	o.service = argv[i + 2];
	return o;
}

int main(int argc, char **argv)
{
	struct options o = parse_args(argc, argv);
	krb5_error_code code = krb5_init_context(&context);
	int fd;

	if (code)
		die(1, "krb5", code);
	fd = dial(o.host, o.port);
	if (o.save || o.replay)
		by_hand(fd, &o);
	else
		exchange(fd, &o);
	session(fd, &o);
	return fflush(stdout) ? 1 : 0;
}
