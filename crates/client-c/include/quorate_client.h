/* The client of activation hosts. Made by cbindgen from crates/client-c/src: change it there. */

#ifndef QUORATE_CLIENT_H
#define QUORATE_CLIENT_H

#include <stdint.h>

// Size of the message in QuorateError, in bytes with the terminating zero.
#define QUORATE_MESSAGE_BYTES 1024

// Size of the advice in QuorateError, in bytes with the terminating zero.
#define QUORATE_ADVICE_BYTES 256

// Size of a product's name, in bytes with the terminating zero.
#define QUORATE_PRODUCT_BYTES 64

// Size of a CMID as text, in bytes with the terminating zero.
#define QUORATE_CMID_BYTES 37

// Size of a host with its port, in bytes with the terminating zero.
#define QUORATE_HOST_BYTES 264

// Size of the text of a status, in bytes with the terminating zero.
#define QUORATE_WORDS_BYTES 128

// The result of a call.
typedef enum QuorateResult {
  // The call succeeded.
  QUORATE_RESULT_DONE = 0,
  // Not activated: no host could be reached, all hosts refused, or the count is below the threshold. An
  // earlier licence stays valid.
  QUORATE_RESULT_NOT_ACTIVATED = 1,
  // An argument is missing or invalid: an error in the calling program.
  QUORATE_RESULT_ARGUMENT = 2,
  // The key is mistyped, or not valid for this product or machine.
  QUORATE_RESULT_KEY_REFUSED = 3,
  // This account has no access to the folder.
  QUORATE_RESULT_DENIED = 4,
  // Another process is using the folder: call again.
  QUORATE_RESULT_BUSY = 5,
  // The folder cannot be read or written: it is damaged, was written by a newer version, or the disk is full.
  QUORATE_RESULT_FOLDER = 6,
  // An internal error of this library, or a system without randomness or sockets. The handle can only be freed.
  QUORATE_RESULT_INTERNAL = 7,
} QuorateResult;

// The licence state of the machine.
typedef enum QuorateState {
  // No key is installed.
  QUORATE_STATE_UNLICENSED = 0,
  // The initial grace period of 30 days.
  QUORATE_STATE_OUT_OF_BOX_GRACE = 1,
  // Licensed, for up to 180 days from the last answer.
  QUORATE_STATE_LICENSED = 2,
  // The hardware changed: a grace period of 30 days in which the machine must be activated again.
  QUORATE_STATE_OUT_OF_TOLERANCE_GRACE = 3,
  // The grace period or the licence has expired: inform the user, and keep calling quorate_client_activate.
  QUORATE_STATE_NOTIFICATION = 4,
} QuorateState;

// How the first host is found.
typedef enum QuorateFoundBy {
  // It was set with quorate_client_set_host.
  QUORATE_FOUND_BY_FIXED = 0,
  // It sent the last answer.
  QUORATE_FOUND_BY_CACHE = 1,
  // It is looked up in DNS.
  QUORATE_FOUND_BY_SRV = 2,
} QuorateFoundBy;

// One machine with one product, as returned by quorate_client_open.
//
// Any thread may use it; calls on one handle wait for each other. To read the status while another call waits for a
// host, a program opens the folder twice.
typedef struct QuorateClient QuorateClient;

// The reason why a call failed. A call that succeeds clears it.
typedef struct QuorateError {
  // The result that the call returned; for quorate_client_open, the corresponding result.
  enum QuorateResult result;
  // The status code (an HRESULT, such as 0xC004F074); 0 where there is none.
  uint32_t status;
  // The error message for people: UTF-8, zero-terminated.
  char message[QUORATE_MESSAGE_BYTES];
  // The next step, as a sentence; empty where the message contains it.
  char advice[QUORATE_ADVICE_BYTES];
} QuorateError;

// The status of the machine. Texts are UTF-8 and zero-terminated.
typedef struct QuorateStatus {
  enum QuorateState state;
  // How the first host is found.
  enum QuorateFoundBy found_by;
  // Minutes until the state ends by itself; -1 where it does not.
  int64_t minutes_left;
  // Seconds until quorate_client_activate should be called; 0: now; -1: the machine is not activated by hosts.
  int64_t seconds_to_next_attempt;
  // The status of the last attempt, an HRESULT; -1 before the first one.
  int64_t last_status;
  // How often the timers can still be reset.
  uint32_t rearms_left;
  // The text of last_status; empty before the first attempt.
  char last_words[QUORATE_WORDS_BYTES];
  // The product of the installed key, by its name in the catalog; empty where there is none.
  char product[QUORATE_PRODUCT_BYTES];
  // The client machine id (CMID), by which hosts count the machine.
  char cmid[QUORATE_CMID_BYTES];
  // The first host, HOST:PORT; empty where hosts are looked up in DNS.
  char host[QUORATE_HOST_BYTES];
} QuorateStatus;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens the machine's folder. The first call creates it with a new CMID, and the grace period of 30 days begins.
//
// `folder` is a path; programs may share it, with `quorate client` too. `trust` is the text of the publisher's trust file,
// not its path: build it into the program, so that users cannot replace it by another one. `error` may be NULL, here
// and below.
//
// Returns NULL where it fails. Free the handle with quorate_client_free.
//
// # Safety
//
// `folder` and `trust` are NULL or zero-terminated; `error` is NULL or points to a QuorateError, which need not be
// initialised.
struct QuorateClient *quorate_client_open(const char *folder,
                                          const char *trust,
                                          struct QuorateError *error);

// Installs the product's setup key, so that hosts activate the machine. Installing the same key again changes nothing.
//
// `product` may be NULL, because a setup key identifies its product. Only a direct key needs it, by its name in the
// publisher's catalog, and only where no setup key was installed before.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `key` and `product` are NULL or zero-terminated; `error` is NULL or
// points to a QuorateError.
enum QuorateResult quorate_client_install_key(const struct QuorateClient *client,
                                              const char *key,
                                              const char *product,
                                              struct QuorateError *error);

// Uses only this host from now on, `HOST[:PORT]`: a name or an address, IPv6 in brackets. NULL: hosts are looked up in
// DNS again, as without this call. The setting is stored in the folder.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `host` is NULL or zero-terminated; `error` is NULL or points to a
// QuorateError.
enum QuorateResult quorate_client_set_host(const struct QuorateClient *client,
                                           const char *host,
                                           struct QuorateError *error);

// Sends a request to the hosts in turn, until one gives a valid answer. It blocks, some seconds for each host that
// does not answer, so a program with a user interface calls it in a separate thread.
//
// QUORATE_RESULT_DONE: the machine is licensed for 180 days from now. QUORATE_RESULT_NOT_ACTIVATED: `error` has the
// reason; an earlier licence stays valid.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `error` is NULL or points to a QuorateError.
enum QuorateResult quorate_client_activate(const struct QuorateClient *client, struct QuorateError *error);

// Reads the status of the machine. It sends no request.
//
// # Safety
//
// `client` is NULL or a handle that was not freed; `status` points to a QuorateStatus and `error` to a QuorateError, or
// they are NULL. Neither need be initialised. Where the call fails, `status` is not changed.
enum QuorateResult quorate_client_status(const struct QuorateClient *client,
                                         struct QuorateStatus *status,
                                         struct QuorateError *error);

// Frees the handle. The folder and its content stay. NULL is ignored.
//
// # Safety
//
// `client` is NULL or a handle that was not freed, and no other call with it is in progress.
void quorate_client_free(struct QuorateClient *client);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUORATE_CLIENT_H */
