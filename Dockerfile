# syntax=docker/dockerfile:1

# Production dependencies, without the development database.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund

# The compiled service. Install scripts are for tests only.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.ts scripts/bundle.ts scripts/
COPY scripts/support/CommandBundle.ts scripts/support/
COPY src src
RUN node scripts/build.ts && node scripts/bundle.ts

FROM node:24-slim
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/compiled
WORKDIR /app
# For health checks that were written for other images.
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
# A volume that is mounted on one of these for the first time takes over its owner.
RUN mkdir -p persistent compiled && chown node:node persistent compiled
RUN mkdir -p /var/lib/electric/data && chown node:node /var/lib/electric/data
COPY package.json LICENSE ./
COPY dashboard dashboard
# All else is in the bundle; the parser of conditions has a file of WebAssembly beside it.
COPY --from=dependencies /app/node_modules/libpg-query node_modules/libpg-query
COPY --from=dependencies /app/node_modules/@pgsql node_modules/@pgsql
COPY --from=build /app/dist dist
# Loads the service once, so that no start has to compile it.
RUN node dist/main.js --version && chown -R node:node compiled
VOLUME /app/persistent
EXPOSE 3000
# 2xx is healthy: also an instance that waits for its turn (202).
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["node", "dist/healthcheck.js"]
# No shell in between: SIGTERM reaches the service, which gives the lock back before anything else.
STOPSIGNAL SIGTERM
# Begins as root, gives the storage directory to the user node, and is the service as that user.
ENTRYPOINT ["node", "dist/container.js"]
