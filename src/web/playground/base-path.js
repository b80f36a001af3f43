// The base path of the service: empty, or the path of PUBLIC_URL, such as /auth.

export const BASE_PATH = new URL("..", import.meta.url).pathname.slice(0, -1);
